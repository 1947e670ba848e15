/** What the browser remembers for the page: until the tab is closed (`sessionStorage`), or beyond (`localStorage`). */

/** @typedef {'sessionStorage' | 'localStorage'} Where */

/** What could not be kept, since storage is switched off: it lasts until the page is left. @type {Map<string, string>} */
const unkept = new Map();

/** @param {string} name @param {Where} [where] @returns {?string} */
export function recall(name, where = 'localStorage') {
  try {
    return window[where].getItem(name);
  } catch {
    return unkept.get(name) ?? null;
  }
}

/** @param {string} name @param {string} value @param {Where} [where] */
export function keep(name, value, where = 'localStorage') {
  try {
    window[where].setItem(name, value);
  } catch {
    unkept.set(name, value);
  }
}

/** @param {string} name @param {Where} [where] */
export function forget(name, where = 'localStorage') {
  unkept.delete(name);
  try {
    window[where].removeItem(name);
  } catch {
    // Nothing was kept there.
  }
}
