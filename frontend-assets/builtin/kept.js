// What this window keeps over a reload; only until then in a browser that keeps nothing for the page.

const memory = new Map();

export function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return memory.get(key) ?? null;
  }
}

export function keep(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    memory.set(key, value);
  }
}

export function forget(key) {
  memory.delete(key);
  try {
    sessionStorage.removeItem(key);
  } catch {
    // Nothing was kept.
  }
}

export function forgetAll() {
  memory.clear();
  try {
    sessionStorage.clear();
  } catch {
    // Nothing was kept.
  }
}
