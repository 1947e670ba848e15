/** What the browser remembers for the page: until the tab is closed (`sessionStorage`), or beyond (`localStorage`). */

/** @typedef {'sessionStorage' | 'localStorage'} Where */

/** What could not be kept, for storage is full or switched off: it lasts until the page is left. */
const unkept = /** @type {Map<string, string>} */ (new Map());

/** @param {string} name @param {Where} [where] @returns {?string} */
export function recall(name, where = 'localStorage') {
  try {
    return unkept.get(name) ?? window[where].getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value @param {Where} [where] */
export function keep(name, value, where = 'localStorage') {
  unkept.delete(name);
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
