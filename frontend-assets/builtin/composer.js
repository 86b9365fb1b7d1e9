// Where people write: a new message, an answer, or another text for a message of theirs.

import { shown } from './names.js';

const TYPING_REPEAT_MS = 3_000;

const form = document.getElementById('composer');
const text = document.getElementById('draft');
const banner = document.getElementById('about');

let on;
let about = null; // { verb: 'reply' or 'edit', message }
let saidTypingAt = 0;
let typingEnd;

/** `on.send(body, replyTo)`, `on.edit(message, body)` which resolves to whether it was, `on.isIn(roomId)`, `on.typing(isTyping)` and
 * `on.lastOwn()`, the message that ArrowUp is about. */
export const listen = (listeners) => (on = listeners);

/** Begins with `draft`; what was being written is given back, for later. */
export function replaceDraft(draft) {
  sayTyping(false);
  const before = about?.verb === 'edit' ? '' : text.value;
  about = null;
  text.value = draft;
  showAbout();
  return before;
}

/** Begins to answer or edit a message. */
export function write(verb, message) {
  if (verb === 'edit') text.value = message.body;
  else if (about?.verb === 'edit') text.value = '';
  about = { verb, message };
  showAbout();
  text.focus();
}

function cancel() {
  if (about?.verb === 'edit') text.value = '';
  about = null;
  showAbout();
}

function showAbout() {
  banner.hidden = !about;
  if (about?.verb === 'edit') banner.firstChild.textContent = 'Editing your message';
  if (about?.verb === 'reply') banner.firstChild.textContent = `Replying to ${shown(about.message.sender.displayName)}: ${about.message.body}`;
  fit();
}

function fit() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight + 2}px`;
}

// Told again while it lasts, since any one notice may be lost.
function sayTyping(isTyping) {
  clearTimeout(typingEnd);
  if (isTyping) typingEnd = setTimeout(() => sayTyping(false), TYPING_REPEAT_MS);
  const due = isTyping ? Date.now() - saidTypingAt > TYPING_REPEAT_MS : saidTypingAt > 0;
  if (!due) return;
  saidTypingAt = isTyping ? Date.now() : 0;
  on.typing(isTyping);
}

banner.querySelector('button').addEventListener('click', cancel);

text.addEventListener('input', () => {
  fit();
  sayTyping(about?.verb !== 'edit' && text.value.trim() !== '');
});

text.addEventListener('keydown', (event) => {
  // Safari says by a code only that a key ended a composition.
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    form.requestSubmit();
  } else if (event.key === 'Escape') {
    cancel();
  } else if (event.key === 'ArrowUp' && text.value === '' && on.lastOwn()) {
    event.preventDefault();
    write('edit', on.lastOwn());
  }
});

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = text.value.trim();
  if (!body) return;
  const { verb, message } = about ?? {};
  // Free for what comes next, whenever the answer comes.
  replaceDraft('');
  if (verb !== 'edit') return on.send(body, message?.seq);
  if (body === message.body || (await on.edit(message, body))) return;
  // Refused; what was written meanwhile is worth more.
  if (about || text.value !== '' || !on.isIn(message.roomId)) return;
  write('edit', message);
  text.value = body;
  fit();
});
