// How messages look, one and many. What people wrote becomes text nodes, never markup.

import { named, shown } from './names.js';

const scroller = document.getElementById('scroller');
const log = document.getElementById('log');
const rows = new Map(); // by seq, what shows the message

const EMOJI = ['👍', '❤️', '😂', '🎉', '👀'];
const SAME_BREATH_MS = 5 * 60_000;

/** An element with properties and children; strings become text. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A disc with initials, in a colour that goes with the name. */
export function initials(name) {
  const letters = name.trim().split(/\s+/, 2).map((word) => [...word][0] ?? '').join('').toUpperCase();
  const disc = element('span', { className: 'disc', ariaHidden: 'true' }, letters);
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  disc.style.setProperty('--hue', hash);
  return disc;
}

function time(at) {
  const date = new Date(at);
  const text = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return element('time', { dateTime: at, title: date.toLocaleString() }, text);
}

function button(text, label, action, className = '') {
  const made = element('button', { type: 'button', className, ariaLabel: label }, text);
  made.addEventListener('click', action);
  return made;
}

export const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
export const toEnd = () => (scroller.scrollTop = scroller.scrollHeight);
export const scrollTo = (seq) => rows.get(seq)?.scrollIntoView({ block: 'center' });

/** Another room is about to be shown. */
export function clearMessages() {
  rows.clear();
  log.replaceChildren();
}

/** What is shown of a message is no longer right. */
export function outdate({ seq }) {
  if (rows.has(seq)) rows.get(seq).isOld = true;
}

/** Draws what changed; `act(verb, message, emoji)` is what the buttons do. Who was at the end, or is to `follow`, stays
 * there; for everybody else nothing moves. */
export function drawMessages(room, me, act, follow = atEnd()) {
  const edge = scroller.getBoundingClientRect().top;
  const topOf = (seq) => rows.get(seq)?.querySelector('.body').getBoundingClientRect().top;
  const anchor = follow ? null : room?.messages.find(({ seq }) => topOf(seq) >= edge)?.seq;
  const before = topOf(anchor);
  if (follow) room?.trim();
  const messages = room?.messages ?? [];
  // New messages are to be read out; older ones, loaded now, aren't.
  log.parentElement.ariaLive = messages[0]?.seq === log.firstChild?.seq ? 'polite' : 'off';
  let next = log.firstChild;
  let previous;
  for (const message of messages) {
    let row = rows.get(message.seq);
    if (!row || row.isOld || row.follows !== previous?.seq) {
      if (row === next) next = next?.nextSibling;
      row?.remove();
      row = Object.assign(drawMessage(message, previous, room, me, act), { seq: message.seq, follows: previous?.seq });
      rows.set(message.seq, row);
    }
    if (row === next) next = next.nextSibling;
    else log.insertBefore(row, next);
    previous = message;
  }
  // Whatever is left was trimmed, or belongs to a log that was reset.
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
    if (rows.get(gone.seq) === gone) rows.delete(gone.seq);
  }
  if (follow) toEnd();
  else if (rows.has(anchor)) scroller.scrollTop += topOf(anchor) - before;
}

function drawMessage(message, previous, room, me, act) {
  const { sender, at, deletedAt } = message;
  const isOwn = sender.id === me.id;
  const day = new Date(at).toDateString();
  const newDay = !previous || new Date(previous.at).toDateString() !== day;
  const continued = !newDay && previous.sender.id === sender.id && !message.replyTo && new Date(at) - new Date(previous.at) < SAME_BREATH_MS;
  // Where there is no pointer to hover with, a touch gives it the focus, which shows its menu.
  const row = element('li', { className: `message${continued ? ' continued' : ''}${isOwn ? ' own' : ''}`, tabIndex: -1 });
  if (newDay) row.dataset.day = new Date(at).toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
  const head = element('div', { className: continued ? 'unseen' : 'head' },
    element('strong', {}, named(sender.displayName)),
    sender.guest ? element('span', { className: 'tag' }, 'guest') : null,
    time(at));
  const text = deletedAt
    ? element('p', { className: 'body quiet' }, 'This message was deleted.')
    : element('p', { className: 'body', dir: 'auto' }, message.body);
  if (message.editedAt && !deletedAt) text.append(element('span', { className: 'quiet small' }, ' (edited)'));
  const content = element('div', { className: 'content' }, head, quote(message, room, act), text, reactions(message, act));
  row.append(continued ? element('span', { className: 'gutter' }) : initials(shown(sender.displayName)), content);
  if (!deletedAt) row.append(menu(message, isOwn, room, act));
  return row;
}

function quote({ replyTo }, room, act) {
  if (!replyTo) return null;
  const shown = button('…', 'The message that this answers', () => act('show', { seq: replyTo }), 'quote');
  const fill = (original) => (shown.textContent = original
    ? `${shown(original.sender.displayName)}: ${original.deletedAt ? 'deleted' : original.body}`
    : 'A message that is gone');
  const known = room.find(replyTo);
  if (known) fill(known);
  else room.read(replyTo).then(fill, () => {});
  return shown;
}

function reactions(message, act) {
  if (message.reactions.length === 0) return null;
  return element('div', { className: 'reactions' }, ...message.reactions.map(({ emoji, count, mine }) => {
    const pill = button(`${emoji} ${count}`, `${emoji}, ${count}`, () => act('react', message, emoji));
    pill.ariaPressed = String(mine);
    return pill;
  }));
}

function menu(message, isOwn, room, act) {
  const details = element('details', { name: 'menu' }, element('summary', { ariaLabel: 'What to do with this message' }, '⋯'));
  const entry = (text, label, ...what) => button(text, label, () => {
    details.open = false;
    act(...what);
  });
  const mayDelete = isOwn || ['owner', 'moderator'].includes(room.info.role);
  details.append(element('div', { className: 'menu' },
    ...EMOJI.map((emoji) => entry(emoji, `React with ${emoji}`, 'react', message, emoji)),
    entry('Reply', null, 'reply', message),
    isOwn ? entry('Edit', null, 'edit', message) : null,
    mayDelete ? entry('Delete', null, 'delete', message) : null));
  return details;
}

/** A message on its way. */
export function drawItem(item, outbox) {
  const fate = item.error
    ? element('p', { className: 'error small' }, `Not sent: ${item.error} `,
      button('Try again', null, () => outbox.again(item)), button('Discard', null, () => outbox.discard(item)))
    : element('p', { className: 'quiet small' }, 'sending…');
  return element('li', { className: 'message' }, element('span', { className: 'gutter' }),
    element('div', { className: 'content' }, element('p', { className: 'body', dir: 'auto' }, item.payload.body), fate));
}
