// Questions that need more than a click: what a new room is to be, and who somebody is.

import { element, initials } from './messages.js';
import { named, shown } from './names.js';

const roomDialog = document.getElementById('room-dialog');
const peopleDialog = document.getElementById('people-dialog');
const people = document.getElementById('people');
const query = peopleDialog.querySelector('input');

let create;
let find;
let choose;

/** Asks for a room; `whenAsked(request)` makes it, and its refusal is shown. */
export function askForRoom(whenAsked) {
  create = whenAsked;
  open(roomDialog);
}

/** Asks for a person among those that `finder(query)` resolves to; a refusal of `whenChosen(user)` is shown. */
export function askForPerson(title, finder, whenChosen) {
  find = finder;
  choose = whenChosen;
  peopleDialog.querySelector('h2').textContent = title;
  people.replaceChildren();
  open(peopleDialog);
}

function open(dialog) {
  dialog.querySelector('form').reset();
  say(dialog, '');
  dialog.showModal();
  dialog.querySelector('input').focus();
}

function say(dialog, text) {
  dialog.querySelector('.error').textContent = text;
}

async function complete(dialog, action) {
  try {
    await action();
    dialog.close();
  } catch (error) {
    say(dialog, error.message);
  }
}

async function showPeople() {
  const asked = query.value.trim();
  let found;
  try {
    found = asked ? await find(asked) : [];
  } catch (error) {
    return say(peopleDialog, error.message);
  }
  // A later question may have been answered first.
  if (asked !== query.value.trim()) return;
  people.replaceChildren(...found.map((user) => {
    const name = element('span', { className: 'name' }, named(user.displayName));
    const username = element('span', { className: 'quiet' }, user.username);
    const button = element('button', { type: 'button' }, initials(shown(user.displayName)), name, username);
    button.addEventListener('click', () => complete(peopleDialog, () => choose(user)));
    return element('li', {}, button);
  }));
  say(peopleDialog, asked && found.length === 0 ? 'Nobody found.' : '');
}

for (const dialog of [roomDialog, peopleDialog]) {
  dialog.querySelector('[value=cancel]').addEventListener('click', () => dialog.close());
}

roomDialog.addEventListener('submit', (event) => {
  event.preventDefault();
  complete(roomDialog, () => create(Object.fromEntries(new FormData(event.target))));
});

peopleDialog.addEventListener('submit', (event) => {
  event.preventDefault();
  showPeople();
});

let timer;
query.addEventListener('input', () => {
  clearTimeout(timer);
  timer = setTimeout(showPeople, 200);
});
