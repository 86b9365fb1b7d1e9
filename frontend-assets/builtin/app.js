// The page: who is here, which rooms there are, and the room in view. The log of a room is kept in `room.js`, messages
// on their way in `outbox.js`.
//
// What must stay true: what people wrote becomes text nodes only, and a room counts as read only while it is seen.

import * as composer from './composer.js';
import { askForPerson, askForRoom } from './dialogs.js';
import * as kept from './kept.js';
import { atEnd, clearMessages, drawItem, drawMessages, element, initials, outdate, scrollTo, toEnd } from './messages.js';
import { named, shown } from './names.js';
import { Outbox } from './outbox.js';
import { Room } from './room.js';
import * as session from './session.js';
import { Socket } from './socket.js';

const RESUMED_ROOMS_MAX = 200;
const TYPING_LASTS_MS = 6_000;
const PUBLIC_ROOMS_EVERY_MS = 8_000;
const FRAME_MS = 16;
const FAREWELL = 'tertulia.farewell';
const UNNAMED = 'A room without a name';
const STATES = { connecting: 'Connecting…', connected: 'Connected', reconnecting: 'Reconnecting…', offline: 'Offline' };
const WAYS = { login: 'Sign in', register: 'Create account', guest: 'Come in' };

const $ = (id) => document.getElementById(id);
const rooms = new Map();
const names = new Map();
let current = null;
let socket;
let outbox;

// ---- Coming and going

const signIn = $('sign-in');

function showWay() {
  const way = signIn.way.value;
  for (const label of signIn.querySelectorAll('[data-ways]')) {
    const input = label.querySelector('input');
    label.hidden = input.disabled = !label.dataset.ways.includes(way);
  }
  signIn.displayName.required = way === 'guest';
  signIn.password.autocomplete = way === 'register' ? 'new-password' : 'current-password';
  signIn.querySelector('button').textContent = WAYS[way];
}

signIn.addEventListener('change', showWay);
signIn.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { way, ...fields } = Object.fromEntries(new FormData(signIn));
  if (!fields.displayName?.trim()) delete fields.displayName;
  const button = signIn.querySelector('button');
  button.disabled = true;
  $('sign-in-error').textContent = '';
  try {
    await session.signIn(way, fields);
    signIn.reset();
    enter();
  } catch (error) {
    $('sign-in-error').textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

function enter() {
  const me = session.me();
  $('welcome').hidden = true;
  $('chat').hidden = false;
  $('me').replaceChildren(named(me.displayName));
  $('makers').hidden = me.guest;
  outbox = new Outbox(me.id, (payload) => socket.insist('message:send', payload), {
    // Its event may be still to come: until then it stands in its place already.
    sent: (message) => rooms.get(message.roomId)?.insert(message),
    changed: drawOutbox,
  });
  connect();
  show();
}

/** Everything of this user goes; a new page is the surest way. */
async function leave(farewell, options) {
  socket?.close();
  await session.forget(options);
  if (farewell) kept.keep(FAREWELL, farewell);
  history.replaceState(null, '', '/');
  location.reload();
}

session.onEnd(leave);
$('sign-out').addEventListener('click', () => leave('', { logOut: true }));

// ---- The connection

function connect() {
  socket = new Socket({ auth, state: showState, event: onEvent, ended: onEnded });
}

async function auth() {
  const token = await session.accessToken();
  const opened = [...rooms.values()].filter((room) => room.opened).slice(-RESUMED_ROOMS_MAX);
  return { token, resume: Object.fromEntries(opened.map((room) => [room.info.id, room.resumePoint])) };
}

function showState(state) {
  $('state').dataset.state = state;
  $('state').textContent = STATES[state];
  if (state !== 'connected') return;
  listRooms();
  outbox.flush();
  openCurrent();
}

async function onEnded({ code, message }) {
  // The session may be good and only the token not, when the server got another secret: the request renews it.
  if (code === 'unauthenticated' && (await session.api('GET', 'me').catch(() => null))) connect();
  else leave(message);
}

function onEvent(name, payload) {
  const room = rooms.get(payload.roomId ?? payload.room?.id);
  const isMine = payload.userId === session.me().id;
  switch (name) {
    case 'message:new':
      if (payload.clientId) outbox.settle(payload.clientId);
      stopTyping(room, payload.sender.id);
    // falls through
    case 'message:edited':
    case 'message:deleted':
    case 'message:reacted':
    case 'room:void':
      return room?.receive(name, payload);
    case 'room:resumed':
      if (payload.error && !payload.error.retryable) return lose(room, payload.error.message);
      return attempt(() => (payload.error ? room?.rejoin() : room?.resumed(payload)));
    case 'resync':
      return attempt(() => room?.rejoin());
    case 'room:updated':
      Object.assign(room?.info ?? {}, payload.room);
      return drawRooms();
    case 'room:member':
      if (!isMine) return;
      return payload.role ? listRooms() : lose(room, 'you are no longer a member.');
    case 'room:unread':
      if (!room) return listRooms();
      room.info.unread = payload.unread;
      return drawRooms();
    case 'read:changed':
      if (isMine && room && payload.seq >= room.seq) room.info.unread = 0;
      return drawRooms();
    case 'presence:changed':
      if (room !== current || !room?.online) return;
      room.online[payload.online ? 'add' : 'delete'](payload.userId);
      return showOnline(room.online.size);
    case 'presence:count':
      if (room === current) showOnline(payload.count);
      return;
    case 'typing:changed':
      return payload.on ? startTyping(room, payload.userId) : stopTyping(room, payload.userId);
    case 'server:draining':
      return socket.comeBackAfter(payload.reconnectAfterMs);
    case 'session:revoked':
      return leave('This session was ended. Please sign in again.');
  }
}

/** Does what somebody asked for, and says why it was refused. Resolves to whether it wasn't. */
async function tell(action) {
  try {
    await action();
    return true;
  } catch (error) {
    notice(error.message);
    return false;
  }
}

/** The same for what nobody asked for: without a connection it is silent, since the next one does it again. */
function attempt(action) {
  return tell(() => action()?.catch((error) => {
    if (error.code !== 'disconnected') throw error;
  }));
}

let noticeTimer;

function notice(text) {
  clearTimeout(noticeTimer);
  $('notice').textContent = text;
  $('notice').hidden = false;
  noticeTimer = setTimeout(() => ($('notice').hidden = true), 6_000);
}

// ---- Rooms

function roomOf(info) {
  const known = rooms.get(info.id);
  if (known) Object.assign(known.info, info);
  else rooms.set(info.id, new Room(info, session.me().id, (event, payload) => socket.insist(event, payload), onLog));
  return rooms.get(info.id);
}

async function listRooms() {
  await attempt(async () => {
    const mine = new Set();
    for (let page, after = ''; !page || page.hasMore; after = `&after=${page.rooms.at(-1)?.id}`) {
      page = await session.api('GET', `me/rooms?limit=200${after}`);
      for (const info of page.rooms) mine.add(roomOf(info));
    }
    for (const [id, room] of rooms) if (!mine.has(room) && room !== current) rooms.delete(id);
  });
  drawRooms();
  listPublic();
}

async function listPublic() {
  const query = $('room-query').value.trim();
  await attempt(async () => {
    const page = await session.api('GET', `rooms?limit=50${query && `&query=${encodeURIComponent(query)}`}`);
    if (query !== $('room-query').value.trim()) return;
    const others = page.rooms.filter((room) => !room.role);
    $('public').replaceChildren(...others.map(roomLink));
    if (page.hasMore) $('public').append(remark('There are more: search for them.'));
    else if (others.length === 0) $('public').append(remark('No others.'));
  });
}

const remark = (text) => element('li', { className: 'quiet small' }, text);

let searchTimer;
$('room-query').addEventListener('input', () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(listPublic, 250);
});

// Nobody is told of rooms that others make.
const lookForRooms = () => socket?.state === 'connected' && !document.hidden && listPublic();
setInterval(lookForRooms, PUBLIC_ROOMS_EVERY_MS);
addEventListener('focus', lookForRooms);

function drawRooms() {
  const mine = [...rooms.values()].map((room) => room.info).filter((info) => info.role);
  mine.sort((a, b) => a.name.localeCompare(b.name));
  $('mine').replaceChildren(...mine.map(roomLink));
  if (mine.length === 0) $('mine').append(remark('None yet.'));
  const unread = mine.reduce((sum, info) => sum + unreadOf(info), 0);
  document.title = unread ? `(${unread}) Tertulia` : 'Tertulia';
  if (!current) return;
  const { name, kind, role } = current.info;
  $('room-name').replaceChildren(name === undefined ? '…' : named(name, UNNAMED));
  $('invite').hidden = kind !== 'private' || !['owner', 'moderator'].includes(role);
  $('leave').hidden = kind === 'direct';
}

// What is being read needn't be counted while the server is told so.
const unreadOf = (info) => (info === current?.info && isSeen() ? 0 : (info.unread ?? 0));

function roomLink(info) {
  const { id, name, kind } = info;
  const sign = element('span', { className: 'sign', ariaHidden: 'true' }, kind === 'private' ? '🔒' : '#');
  const link = element('a', { href: `#room/${id}` }, kind === 'direct' ? initials(shown(name)) : sign);
  link.append(element('span', { className: 'name' }, named(name, kind === 'direct' ? undefined : UNNAMED)));
  if (kind !== 'public') link.append(element('span', { className: 'unseen' }, `, ${kind}`));
  const unread = unreadOf(info);
  if (unread) link.append(element('span', { className: 'count' }, String(unread), element('span', { className: 'unseen' }, ' unread')));
  if (id === current?.info.id) link.ariaCurrent = 'page';
  return element('li', {}, link);
}

/** Shows the room that the address names. */
function show() {
  const id = /^#room\/([\w-]{1,64})$/.exec(location.hash)?.[1];
  const next = id ? roomOf({ id }) : null;
  document.body.classList.toggle('in-room', Boolean(id));
  $('nothing-open').hidden = Boolean(id);
  $('open-room').hidden = !id;
  const draft = composer.replaceDraft(next?.draft ?? '');
  if (current) current.draft = draft;
  current?.trim();
  current = next;
  $('online').textContent = '';
  clearMessages();
  drawTyping();
  drawOutbox();
  drawLog(true);
  drawRooms();
  // Without a keyboard at hand one would come up and cover half of the room.
  if (id && matchMedia('(hover: hover)').matches) $('draft').focus();
  openCurrent();
}

async function openCurrent() {
  const room = current;
  if (!room || socket.state !== 'connected') return;
  try {
    if (!room.opened) {
      await room.open();
      listRooms();
    }
    const { count, online } = await socket.insist('presence:get', { roomId: room.info.id });
    room.online = count > online.length ? null : new Set(online);
    if (room === current) showOnline(count);
    loadOlder();
  } catch (error) {
    if (['not_found', 'forbidden'].includes(error.code)) lose(room, error.message);
    else if (error.code !== 'disconnected') notice(error.message);
  }
}

function lose(room, why) {
  if (!room || !rooms.delete(room.info.id)) return;
  if (room === current) {
    notice(`${room.info.name ? `“${shown(room.info.name, UNNAMED)}”` : 'This room'} is closed to you: ${why}`);
    location.hash = '';
  }
  listRooms();
}

addEventListener('hashchange', () => socket && show());

$('leave').addEventListener('click', () => {
  const { id, name } = current.info;
  if (!confirm(`Leave “${name}”?`)) return;
  tell(async () => {
    await socket.emit('room:leave', { roomId: id });
    rooms.delete(id);
    location.hash = '';
    listRooms();
  });
});

async function createRoom(request) {
  const { room } = await session.api('POST', 'rooms', request);
  location.hash = `#room/${roomOf(room).info.id}`;
}

async function findPeople(query) {
  const { users } = await session.api('GET', `users?limit=20&query=${encodeURIComponent(query)}`);
  return users.filter(({ id }) => id !== session.me().id);
}

$('new-room').addEventListener('click', () => askForRoom(createRoom));
$('new-direct').addEventListener('click', () => {
  askForPerson('Message someone', findPeople, ({ id }) => createRoom({ kind: 'direct', members: [id] }));
});
$('invite').addEventListener('click', () => {
  const roomId = current.info.id;
  askForPerson('Add people', findPeople, ({ id }) => session.api('PUT', `rooms/${roomId}/members/${id}`, {}));
});

// ---- The room in view

const scroller = $('scroller');
const isSeen = () => !document.hidden && atEnd();

let drawing;

function onLog(room, message) {
  if (message) names.set(message.sender.id, shown(message.sender.displayName));
  if (message && room === current) outdate(message);
  // Whoever comes back may get hundreds of events at once.
  drawing ??= setTimeout(() => {
    drawing = null;
    drawRooms();
    drawLog();
  }, FRAME_MS);
}

function drawLog(follow) {
  drawMessages(current, session.me(), act, follow);
  $('start').textContent = current?.opened && !current.hasMore ? 'This is where it begins.' : 'Loading…';
  seen();
}

function drawOutbox() {
  const follow = atEnd();
  $('outbox').replaceChildren(...outbox.of(current?.info.id).map((item) => drawItem(item, outbox)));
  if (follow) toEnd();
}

function loadOlder() {
  const room = current;
  if (room?.opened && scroller.scrollTop < 300) attempt(() => room.loadOlder());
}

/** What is in view has changed. */
function seen() {
  $('newest').hidden = atEnd();
  loadOlder();
  readSeen();
}

async function readSeen() {
  const room = current;
  if (!room?.opened || !room.info.unread || room.reading || !isSeen()) return;
  room.reading = true;
  const { seq } = room;
  const read = await socket.emit('read:set', { roomId: room.info.id, seq }).catch(() => null);
  room.reading = false;
  if (!read) return;
  room.info.unread = read.unread;
  drawRooms();
  // More may have come meanwhile.
  if (room.seq > seq) readSeen();
}

scroller.addEventListener('scroll', seen);
document.addEventListener('visibilitychange', seen);
$('newest').addEventListener('click', toEnd);

/** What the buttons of a message do. */
function act(verb, message, emoji) {
  const { seq } = message;
  const roomId = current.info.id;
  if (verb === 'react') {
    const on = !message.reactions.find((one) => one.emoji === emoji)?.mine;
    tell(() => socket.emit('message:react', { roomId, seq, emoji, on }));
  } else if (verb === 'delete') {
    if (confirm('Delete this message?')) tell(() => socket.emit('message:delete', { roomId, seq }));
  } else if (verb === 'show') {
    scrollTo(seq);
  } else {
    composer.write(verb, message);
  }
}

composer.listen({
  send(body, replyTo) {
    outbox.add(current.info.id, body, replyTo);
    toEnd();
  },
  edit: ({ roomId, seq }, body) => tell(() => socket.emit('message:edit', { roomId, seq, body })),
  isIn: (roomId) => current?.info.id === roomId,
  typing: (on) => current && socket.emit('typing:set', { roomId: current.info.id, on }).catch(() => {}),
  lastOwn: () => current.messages.findLast(({ sender, deletedAt }) => sender.id === session.me().id && !deletedAt),
});

async function startTyping(room, userId) {
  if (!room || userId === session.me().id) return;
  clearTimeout(room.typing.get(userId));
  room.typing.set(userId, setTimeout(() => stopTyping(room, userId), TYPING_LASTS_MS));
  if (!names.has(userId)) {
    names.set(userId, 'Somebody');
    const found = await session.api('GET', `users/${userId}`).catch(() => null);
    if (found) names.set(userId, shown(found.user.displayName));
  }
  drawTyping();
}

function stopTyping(room, userId) {
  clearTimeout(room?.typing.get(userId));
  if (room?.typing.delete(userId)) drawTyping();
}

function drawTyping() {
  const writers = [...(current?.typing.keys() ?? [])].map((id) => names.get(id));
  const who = writers.length > 3 ? 'Several people' : writers.join(', ');
  $('typing').textContent = who && `${who} ${writers.length > 1 ? 'are' : 'is'} writing…`;
}

function showOnline(count) {
  $('online').textContent = `${count} online`;
}

// ---- Begin

showWay();
if (session.me()) {
  enter();
} else {
  $('welcome').hidden = false;
  $('sign-in-error').textContent = kept.recall(FAREWELL) ?? '';
  kept.forget(FAREWELL);
  signIn.username.focus();
}
