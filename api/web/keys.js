/**
 * The visitor's API key: kept until the tab is closed, or on this computer if the visitor wishes so. It goes
 * into the `Authorization` header of requests to this origin, and is shown nowhere.
 */

const NAME = 'impasto.key';

/** What asks the visitor for a key. @typedef {(reason: string) => Promise<boolean>} Asking */

/** @type {Asking} */
let ask = async () => false;
/** @type {?Promise<boolean>} the question that is open now: however many requests wait for its answer */
let asking = null;
let isDeclined = false;

/** @returns {?string} */
export const currentKey = () => read(sessionStorage) ?? read(localStorage);

/** @param {string} key @param {{remember: boolean}} how  remember: beyond this tab */
export function useKey(key, { remember }) {
  forgetKey();
  isDeclined = false;
  write(remember ? localStorage : sessionStorage, key);
}

export function forgetKey() {
  for (const store of [sessionStorage, localStorage]) write(store, null);
}

/** @param {Asking} how */
export function askForKeysWith(how) {
  ask = how;
}

/**
 * Asks the visitor for a key, once for all who wait for one. A visitor who has none to give is asked again
 * only after pressing a button that needs one.
 *
 * @param {string} reason  what the service said
 * @param {{insists: boolean}} how  insists: the visitor has just pressed such a button
 * @returns {Promise<boolean>} whether there is another key now
 */
export async function anotherKey(reason, { insists }) {
  if (isDeclined && !insists && !asking) return false;
  asking ??= ask(reason).finally(() => (asking = null));
  isDeclined = !(await asking);
  return !isDeclined;
}

/** @param {Storage} store */
function read(store) {
  try {
    return store.getItem(NAME);
  } catch {
    return null; // storage is switched off
  }
}

/** @param {Storage} store @param {?string} key */
function write(store, key) {
  try {
    if (key === null) store.removeItem(NAME);
    else store.setItem(NAME, key);
  } catch {
    // Storage is switched off: the key has to be entered again.
  }
}
