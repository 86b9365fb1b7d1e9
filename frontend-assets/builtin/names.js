// Names that others have chosen, such as they may stand beside other text: visible, and without power over it.

const DIRECTION = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;
const VISIBLE = /[^\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** What to call somebody, or a room. */
export function shown(name, otherwise = 'Somebody') {
  const plain = name.replace(DIRECTION, '');
  return VISIBLE.test(plain) ? plain : otherwise;
}

/** The same as an element: its direction is its own, and its marks reach over no other line. */
export function named(name, otherwise) {
  const element = document.createElement('bdi');
  element.textContent = shown(name, otherwise);
  return element;
}
