// The page: what people see and do. The log of a room is kept in `room.js`, messages on their way in `outbox.js`.
//
// What must stay true: whatever people wrote becomes text nodes only, and a room in view is read only while it is seen.

import { drawItem, drawMessage, element, initials } from './messages.js';
import { Outbox } from './outbox.js';
import { Room } from './room.js';
import * as session from './session.js';
import { Socket } from './socket.js';

const RESUMED_ROOMS_MAX = 200;
const TYPING_REPEAT_MS = 3_000;
const TYPING_LASTS_MS = 6_000;
const STATES = { connecting: 'Connecting…', connected: 'Connected', reconnecting: 'Reconnecting…', offline: 'Offline' };

const $ = (id) => document.getElementById(id);
const rooms = new Map();
const names = new Map();
const rows = new Map(); // seq → what shows the message
let current = null;
let socket;
let outbox;

// ---- Coming and going

const signInForm = $('sign-in');

function showWay() {
  const way = signInForm.way.value;
  for (const label of signInForm.querySelectorAll('[data-ways]')) {
    const wanted = label.dataset.ways.includes(way);
    label.hidden = !wanted;
    label.querySelector('input').disabled = !wanted;
  }
  signInForm.displayName.required = way === 'guest';
  signInForm.password.autocomplete = way === 'register' ? 'new-password' : 'current-password';
  signInForm.querySelector('button').textContent = { login: 'Sign in', register: 'Create account', guest: 'Come in' }[way];
  $('sign-in-error').textContent = '';
}

signInForm.addEventListener('change', ({ target }) => target.name === 'way' && showWay());
signInForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { way, ...fields } = Object.fromEntries(new FormData(signInForm));
  if (!fields.displayName?.trim()) delete fields.displayName;
  const button = signInForm.querySelector('button');
  button.disabled = true;
  $('sign-in-error').textContent = '';
  try {
    await session.signIn(way, fields);
    signInForm.reset();
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
  $('me').textContent = me.displayName;
  $('makers').hidden = me.guest;
  socket = new Socket({ auth, state: showState, event: onEvent, ended: onEnded });
  outbox = new Outbox(me.id, (payload) => socket.insist('message:send', payload), {
    // Its event may be still to come: until then it stands in its place already.
    sent: (message) => rooms.get(message.roomId)?.insert(message) && message.roomId === current?.info.id && drawLog(),
    changed: drawOutbox,
  });
  show();
}

/** Everything of this user goes; a new page is the surest way. */
async function leave(farewell, options) {
  socket?.close();
  await session.forget(options);
  if (farewell) sessionStorage.setItem('tertulia.farewell', farewell);
  history.replaceState(null, '', '/');
  location.reload();
}

session.onEnd((message) => leave(message));
$('sign-out').addEventListener('click', () => leave('', { logOut: true }));

// ---- The connection

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
  if (current) openCurrent();
}

let refusedToken = false;

function onEnded({ code, message }) {
  // A token can be refused before its time, when the server got a new secret; once a fresh one is worth a try.
  if (code === 'unauthenticated' && !refusedToken) {
    refusedToken = true;
    session.distrust();
    socket = new Socket({ auth, state: showState, event: onEvent, ended: onEnded });
  } else {
    leave(message);
  }
}

function onEvent(name, payload) {
  refusedToken = false;
  const room = rooms.get(payload.roomId ?? payload.room?.id);
  if (payload.clientId) outbox.settle(payload.clientId);
  switch (name) {
    case 'message:new':
      stopTyping(room, payload.sender.id);
    // falls through
    case 'message:edited':
    case 'message:deleted':
    case 'message:reacted':
    case 'room:void':
      return room?.receive(name, payload);
    case 'room:resumed':
      if (payload.error?.retryable) return tell(() => room?.rejoin());
      if (payload.error) return lose(room, payload.error.message);
      return tell(() => room?.resumed(payload));
    case 'resync':
      return tell(() => room?.rejoin());
    case 'room:updated':
      Object.assign(room?.info ?? {}, payload.room);
      return drawRooms();
    case 'room:member':
      if (payload.userId !== session.me().id) return;
      return payload.role ? listRooms() : lose(room, 'you are no longer a member.');
    case 'room:unread':
      if (!room) return listRooms();
      room.info.unread = payload.unread;
      return drawRooms();
    case 'read:changed':
      if (payload.userId === session.me().id && room && payload.seq >= room.seq) room.info.unread = 0;
      return drawRooms();
    case 'presence:changed':
      if (room !== current || !room?.online) return;
      room.online[payload.online ? 'add' : 'delete'](payload.userId);
      return showOnline(room.online.size);
    case 'presence:count':
      if (room !== current || !room) return;
      room.online = null;
      return showOnline(payload.count);
    case 'typing:changed':
      return payload.on ? startTyping(room, payload.userId) : stopTyping(room, payload.userId);
    case 'server:draining':
      return socket.comeBackAfter(payload.reconnectAfterMs);
    case 'session:revoked':
      return leave('This session was ended. Please sign in again.');
  }
}

/** Runs something and shows why it was refused; what needs the connection is done again by the next one. */
async function tell(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error.code && error.message)) throw error;
    notice(error.message);
  }
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
  await tell(async () => {
    const mine = new Set();
    for (let page = { hasMore: true }, after = ''; page.hasMore; after = `&after=${page.rooms.at(-1).id}`) {
      page = await session.api('GET', `me/rooms?limit=200${after}`);
      for (const info of page.rooms) mine.add(roomOf(info));
    }
    for (const room of rooms.values()) if (!mine.has(room) && room !== current) delete room.info.role;
  });
  drawRooms();
  listPublic();
}

async function listPublic() {
  const query = $('room-query').value.trim();
  const page = await tell(() => session.api('GET', `rooms?limit=50${query && `&query=${encodeURIComponent(query)}`}`));
  if (!page || query !== $('room-query').value.trim()) return;
  const others = page.rooms.filter((room) => !room.role);
  $('public').replaceChildren(...others.map((info) => roomLink(info)));
  if (others.length === 0) $('public').append(element('li', { className: 'quiet small' }, query ? 'None found.' : 'None yet.'));
  if (page.hasMore) $('public').append(element('li', { className: 'quiet small' }, 'There are more: search for them.'));
}

let searchTimer;
$('room-query').addEventListener('input', () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(listPublic, 250);
});

function drawRooms() {
  const mine = [...rooms.values()].map((room) => room.info).filter((info) => info.role);
  mine.sort((a, b) => a.name.localeCompare(b.name));
  $('mine').replaceChildren(...mine.map((info) => roomLink(info)));
  if (mine.length === 0) $('mine').append(element('li', { className: 'quiet small' }, 'None yet. Join one below.'));
  const unread = mine.reduce((sum, info) => sum + (info.unread ?? 0), 0);
  document.title = unread ? `(${unread}) Tertulia` : 'Tertulia';
  if (!current) return;
  const { name, kind, role } = current.info;
  $('room-name').textContent = name || '…';
  $('invite').hidden = kind !== 'private' || !['owner', 'moderator'].includes(role);
  $('leave').hidden = kind === 'direct';
}

function roomLink({ id, name, kind, unread }) {
  const link = element('a', { href: `#room/${id}` }, kind === 'direct' ? initials(name, id) : element('span', { className: 'sign' }, kind === 'private' ? '⚿' : '#'));
  link.firstChild.ariaHidden = 'true';
  link.append(element('span', { className: 'name' }, name));
  if (kind !== 'public') link.append(element('span', { className: 'unseen' }, `, ${kind}`));
  if (unread) link.append(element('span', { className: 'count', ariaLabel: `, ${unread} unread` }, unread > 99 ? '99+' : String(unread)));
  if (id === current?.info.id) link.ariaCurrent = 'page';
  return element('li', {}, link);
}

/** Shows the room that the address names. */
function show() {
  const id = /^#room\/([\w-]{1,64})$/.exec(location.hash)?.[1];
  if (current) {
    sayTyping(false);
    current.draft = about?.verb === 'edit' ? '' : $('draft').value;
    current.trim();
  }
  current = id ? roomOf({ id, ...rooms.get(id)?.info }) : null;
  writeAbout(null);
  document.body.classList.toggle('in-room', Boolean(current));
  $('nothing-open').hidden = Boolean(current);
  $('open-room').hidden = !current;
  $('online').textContent = '';
  drawRooms();
  drawTyping();
  drawLog({ toEnd: true });
  drawOutbox();
  if (!current) return;
  $('draft').value = current.draft;
  fitDraft();
  // Without a keyboard at hand it would cover half of the room.
  if (matchMedia('(hover: hover)').matches) $('draft').focus();
  if (socket.state === 'connected') openCurrent();
}

async function openCurrent() {
  const room = current;
  try {
    if (!room.opened) {
      await room.open();
      listRooms();
    }
    const { count, online } = await socket.insist('presence:get', { roomId: room.info.id });
    room.online = count > online.length ? null : new Set(online);
    if (room === current) showOnline(count);
  } catch (error) {
    if (error.code === 'disconnected') return;
    lose(room, error.message);
  }
}

function lose(room, why) {
  if (!room) return;
  rooms.delete(room.info.id);
  if (room === current) {
    notice(`${room.info.name ? `“${room.info.name}”` : 'This room'} is closed to you: ${why}`);
    location.hash = '';
  }
  drawRooms();
  listPublic();
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

// ---- Dialogs

for (const dialog of document.querySelectorAll('dialog')) {
  dialog.querySelector('[value=cancel]').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.querySelector('form').reset());
}

function openDialog(dialog) {
  dialog.querySelector('.error').textContent = '';
  dialog.showModal();
  dialog.querySelector('input').focus();
}

/** Runs what a dialog is for, closes it, or says in it why that was refused. */
async function complete(dialog, action) {
  try {
    await action();
    dialog.close();
  } catch (error) {
    dialog.querySelector('.error').textContent = error.message;
  }
}

async function createRoom(request) {
  const { room } = await session.api('POST', 'rooms', request);
  roomOf(room);
  location.hash = `#room/${room.id}`;
}

$('new-room').addEventListener('click', () => openDialog($('room-dialog')));
$('room-dialog').addEventListener('submit', (event) => {
  event.preventDefault();
  complete($('room-dialog'), () => createRoom(Object.fromEntries(new FormData(event.target))));
});

let choosePerson;

function askForPerson(title, choose) {
  choosePerson = choose;
  $('people-title').textContent = title;
  $('people').replaceChildren();
  openDialog($('people-dialog'));
}

$('new-direct').addEventListener('click', () =>
  askForPerson('Message someone', ({ id }) => createRoom({ kind: 'direct', members: [id] })));
$('invite').addEventListener('click', () => {
  const { id: roomId } = current.info;
  askForPerson('Add people', ({ id }) => session.api('PUT', `rooms/${roomId}/members/${id}`, {}));
});

async function findPeople() {
  const dialog = $('people-dialog');
  const query = dialog.querySelector('input').value.trim();
  const users = query ? (await session.api('GET', `users?limit=20&query=${encodeURIComponent(query)}`)).users : [];
  if (query !== dialog.querySelector('input').value.trim()) return;
  const others = users.filter(({ id }) => id !== session.me().id);
  $('people').replaceChildren(...others.map((user) => {
    const button = element('button', { type: 'button' }, initials(user.displayName, user.id), element('span', { className: 'name' }, user.displayName), element('span', { className: 'quiet' }, user.username));
    button.addEventListener('click', () => complete(dialog, () => choosePerson(user)));
    return element('li', {}, button);
  }));
  dialog.querySelector('.error').textContent = query && others.length === 0 ? 'Nobody found.' : '';
}

let peopleTimer;
$('people-dialog').addEventListener('input', () => {
  clearTimeout(peopleTimer);
  peopleTimer = setTimeout(() => tell(findPeople), 200);
});
$('people-dialog').addEventListener('submit', (event) => {
  event.preventDefault();
  tell(findPeople);
});

// ---- The log of the room in view

const scroller = $('scroller');
const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
const toEnd = () => (scroller.scrollTop = scroller.scrollHeight);

function onLog(room, what, message) {
  if (message) names.set(message.sender.id, message.sender.displayName);
  if (what !== 'changed') drawRooms();
  if (room !== current) return;
  if (what === 'reloaded') return drawLog();
  const follow = atEnd();
  const row = rows.get(message.seq);
  if (what === 'changed') row?.replaceWith(drawRow(message));
  else if (follow && room.trim()) drawLog({ toEnd: true });
  else if (room.messages.at(-1) === message) $('log').append(drawRow(message));
  else drawLog();
  if (follow) toEnd();
  $('newest').hidden = atEnd();
  readWhatIsSeen();
}

function drawRow(message) {
  const at = current.messages.indexOf(message);
  const row = drawMessage(message, current.messages[at - 1], current, session.me(), act);
  rows.set(message.seq, row);
  return row;
}

/** Draws the whole log; the message that was at the end, or on top, stays where it was. */
function drawLog({ toEnd: forced = false } = {}) {
  const follow = forced || atEnd();
  const below = scroller.scrollHeight - scroller.scrollTop;
  const log = $('log');
  log.ariaBusy = 'true';
  rows.clear();
  const room = current;
  for (const { sender } of room?.messages ?? []) names.set(sender.id, sender.displayName);
  log.replaceChildren(...(room?.messages ?? []).map((message) => drawRow(message)));
  log.ariaBusy = 'false';
  $('start').textContent = !room?.opened || room.hasMore ? 'Loading…' : 'This is where it begins.';
  if (follow) toEnd();
  else scroller.scrollTop = scroller.scrollHeight - below;
  $('newest').hidden = atEnd();
  readWhatIsSeen();
  loadOlder();
}

function loadOlder() {
  if (current?.opened && current.hasMore && !current.loading && scroller.scrollTop < 300) {
    const room = current;
    tell(() => room.loadOlder());
  }
}

function drawOutbox() {
  const follow = atEnd();
  const items = current ? outbox.of(current.info.id) : [];
  $('outbox').replaceChildren(...items.map((item) => drawItem(item, outbox)));
  if (follow) toEnd();
}

scroller.addEventListener('scroll', () => {
  $('newest').hidden = atEnd();
  loadOlder();
  readWhatIsSeen();
});
$('newest').addEventListener('click', toEnd);
addEventListener('resize', () => $('newest').hidden || toEnd());

let readTimer;

function readWhatIsSeen() {
  clearTimeout(readTimer);
  readTimer = setTimeout(async () => {
    const room = current;
    if (!room?.info.unread || document.hidden || !atEnd()) return;
    const { unread } = (await socket.emit('read:set', { roomId: room.info.id, seq: room.seq }).catch(() => null)) ?? room.info;
    room.info.unread = unread;
    drawRooms();
  }, 300);
}

document.addEventListener('visibilitychange', readWhatIsSeen);

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
    rows.get(seq)?.scrollIntoView({ block: 'center' });
  } else {
    writeAbout({ verb, message });
  }
}

// ---- Writing

let about = null; // the message that is answered or edited

function writeAbout(next) {
  if (about?.verb === 'edit' || next?.verb === 'edit') $('draft').value = next?.verb === 'edit' ? next.message.body : '';
  about = next;
  $('about').hidden = !about;
  if (!about) return fitDraft();
  const { verb, message } = about;
  $('about').firstChild.textContent = verb === 'edit' ? 'Editing your message' : `Replying to ${message.sender.displayName}: ${message.body}`;
  $('draft').focus();
  fitDraft();
}

$('about').querySelector('button').addEventListener('click', () => writeAbout(null));

function fitDraft() {
  const draft = $('draft');
  draft.style.height = 'auto';
  draft.style.height = `${draft.scrollHeight + 2}px`;
}

$('draft').addEventListener('input', () => {
  fitDraft();
  sayTyping(about?.verb !== 'edit' && $('draft').value.trim() !== '');
});

$('draft').addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    $('composer').requestSubmit();
  } else if (event.key === 'Escape') {
    writeAbout(null);
  } else if (event.key === 'ArrowUp' && $('draft').value === '') {
    const own = current.messages.findLast(({ sender, deletedAt }) => sender.id === session.me().id && !deletedAt);
    if (own) event.preventDefault(), writeAbout({ verb: 'edit', message: own });
  }
});

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const body = $('draft').value.trim();
  if (!body || !current) return;
  sayTyping(false);
  if (about?.verb === 'edit') {
    const { message } = about;
    const edit = { roomId: current.info.id, seq: message.seq, body };
    tell(async () => {
      if (body !== message.body) await socket.emit('message:edit', edit);
      if (about?.message === message) writeAbout(null);
    });
    return;
  }
  const replyTo = about?.message.seq;
  $('draft').value = '';
  writeAbout(null);
  outbox.add(current.info.id, body, replyTo);
  toEnd();
});

let saidTypingAt = 0;
let typingEnd;

// Told again while it lasts, since any one notice may be lost.
function sayTyping(on) {
  clearTimeout(typingEnd);
  if (on) typingEnd = setTimeout(() => sayTyping(false), TYPING_REPEAT_MS);
  const due = on ? Date.now() - saidTypingAt > TYPING_REPEAT_MS : saidTypingAt > 0;
  if (!due || !current) return;
  saidTypingAt = on ? Date.now() : 0;
  socket.emit('typing:set', { roomId: current.info.id, on }).catch(() => {});
}

async function startTyping(room, userId) {
  if (!room || userId === session.me().id) return;
  clearTimeout(room.typing.get(userId));
  room.typing.set(userId, setTimeout(() => stopTyping(room, userId), TYPING_LASTS_MS));
  if (!names.has(userId)) {
    names.set(userId, 'Somebody');
    const found = await session.api('GET', `users/${userId}`).catch(() => null);
    if (found) names.set(userId, found.user.displayName);
  }
  drawTyping();
}

function stopTyping(room, userId) {
  clearTimeout(room?.typing.get(userId));
  if (room?.typing.delete(userId)) drawTyping();
}

function drawTyping() {
  const writers = [...(current?.typing.keys() ?? [])].map((id) => names.get(id));
  $('typing').textContent = writers.length > 3 ? 'Several people are writing…'
    : writers.length ? `${writers.join(', ')} ${writers.length > 1 ? 'are' : 'is'} writing…` : '';
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
  $('sign-in-error').textContent = sessionStorage.getItem('tertulia.farewell') ?? '';
  sessionStorage.removeItem('tertulia.farewell');
  signInForm.username.focus();
}
