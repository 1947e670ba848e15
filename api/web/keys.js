/**
 * The visitor's API key: kept until the tab is closed, or on this computer if the visitor wishes so. It goes
 * into the `Authorization` header of requests to this origin, and is shown nowhere.
 */

import { forget, keep, recall } from './storage.js';

const NAME = 'impasto.key';

/** What asks the visitor for a key. @typedef {(reason: string) => Promise<boolean>} Asking */

/** @type {Asking} */
let ask = async () => false;
/** @type {?Promise<boolean>} the question that is open now: however many requests wait for its answer */
let asking = null;
let isDeclined = false;

/** @returns {?string} */
export const currentKey = () => recall(NAME, 'sessionStorage') ?? recall(NAME);

/** @type {?string} */
let accepted = currentKey();

/** The key with which the page was given what it shows: another one may be somebody else's. */
export const acceptedKey = () => accepted;

/** The service has answered to it. @param {?string} key */
export function accept(key) {
  accepted = key ?? accepted;
}

/** @param {string} key @param {{remember: boolean}} how  remember: beyond this tab */
export function useKey(key, { remember }) {
  forgetKey();
  isDeclined = false;
  keep(NAME, key, remember ? 'localStorage' : 'sessionStorage');
}

export function forgetKey() {
  forget(NAME, 'sessionStorage');
  forget(NAME);
}

/** @param {Asking} how */
export function askForKeysWith(how) {
  ask = how;
}

/**
 * Asks the visitor for a key, once for all who wait for one.
 *
 * @param {string} reason
 * @returns {Promise<boolean>} whether there is another key now
 */
export const askForKey = (reason) => (asking ??= ask(reason).finally(() => (asking = null)));

/**
 * Asks for a key that a request needs. A visitor who has none to give is asked again only after pressing a
 * button that needs one.
 *
 * @param {string} reason  what the service said
 * @param {{insists: boolean}} how  insists: the visitor has just pressed such a button
 * @returns {Promise<boolean>} whether there is another key now
 */
export async function anotherKey(reason, { insists }) {
  if (isDeclined && !insists && !asking) return false;
  isDeclined = !(await askForKey(reason));
  return !isDeclined;
}
