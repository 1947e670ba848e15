/**
 * The form as it was left, kept in this browser: a reload loses nothing, nor does a phone that puts the tab away.
 * Each tab has its own. Where nothing can be kept, nothing is, and the form works as well.
 */

import { Mask } from './mask.js';
import { sleep } from './patience.js';
import { keep, recall } from './storage.js';
import { uniqueId } from './unique.js';

const DATABASE = 'impasto';
const VERSION = 1; // of what is kept: of another one, it is thrown away
const STORES = ['settings', 'pictures'];
const TAB = 'impasto.tab';
const QUIET_MS = 300; // without a change, before it is written
const READ_SECONDS = 3; // some browsers take their time, or never answer: the form does not wait for them
const KEPT_MS = 7 * 86_400_000; // a tab that was closed does not come back

/**
 * @typedef {import('./pictures.js').Picture} Picture
 *
 * @typedef {object} Settings             small, and changed often
 * @property {Record<string, any>} params  as the sheet writes them
 * @property {Record<string, any>} notes
 * @property {string} priority
 * @property {?number[]} weights
 *
 * @typedef {object} Pictures             large: written only when they are not those of before
 * @property {Picture[]} content
 * @property {Picture[]} beginning
 * @property {Picture[]} paintings
 * @property {(?Mask)[]} masks            of the paintings
 * @property {(?Blob)[]} maskFiles
 *
 * @typedef {{settings: Settings, pictures: Pictures}} Form
 */

/** @type {?IDBDatabase} */
let database = null;
/** @type {?Pictures} that are in the draft already */
let written = null;
/** @type {?(() => Form)} what has changed and is not written yet */
let getForm = null;
let timer = 0;

/** To be called once, before anything is kept. @returns {Promise<?Form>} null without one that is whole */
export async function readDraft() {
  const draft = await Promise.race([read().catch(() => null), sleep(READ_SECONDS)]);
  return draft ?? null;
}

/** Something has changed; it is written when nothing does for a while, or when the page is left. @param {() => Form} form */
export function keepDraft(form) {
  getForm = form;
  clearTimeout(timer);
  timer = setTimeout(write, QUIET_MS);
}

/** Forgets the drafts of all tabs. @returns {Promise<void>} when they are gone */
export async function forgetDrafts() {
  getForm = null;
  written = null;
  try {
    const transaction = database?.transaction(STORES, 'readwrite');
    if (transaction) await Promise.all(STORES.map((name) => answer(transaction.objectStore(name).clear())));
  } catch {
    // There are none, or nobody can get at them.
  }
}

async function read() {
  const opening = indexedDB.open(DATABASE, VERSION);
  opening.onupgradeneeded = () => {
    const { result } = opening;
    for (const name of [...result.objectStoreNames]) result.deleteObjectStore(name);
    for (const name of STORES) result.createObjectStore(name);
  };
  const opened = await answer(opening);
  opened.onversionchange = () => {
    opened.close(); // another tab has a newer page
    database = null;
  };
  database = opened;

  const transaction = database.transaction(STORES, 'readwrite');
  const [settingsOf, picturesOf] = STORES.map((name) => transaction.objectStore(name));
  const [tabs, all] = await Promise.all([answer(settingsOf.getAllKeys()), answer(settingsOf.getAll())]);
  const old = tabs.filter((_, index) => Date.now() - all[index].at > KEPT_MS);
  for (const store of [settingsOf, picturesOf]) for (const name of old) store.delete(name);
  const [settings, pictures] = await Promise.all([settingsOf, picturesOf].map((store) => answer(store.get(tab()))));
  if (!settings || !pictures) return null;
  pictures.masks = pictures.masks.map((mask) => mask && new Mask(mask.width, mask.height, mask.values));
  const hung = [...pictures.content, ...pictures.beginning, ...pictures.paintings];
  const files = [...hung.map(({ file }) => file), ...pictures.maskFiles.filter(Boolean)];
  await Promise.all(files.map((file) => file.slice(0, 1).arrayBuffer())); // throws where a file is gone
  written = pictures;
  return { settings, pictures };
}

/** Begins to write what has changed. A browser as a rule ends it, even if the page is left meanwhile. */
function write() {
  clearTimeout(timer);
  if (!getForm || !database) return;
  const { settings, pictures } = getForm();
  getForm = null;
  try {
    const transaction = database.transaction(STORES, 'readwrite');
    transaction.onabort = () => (written = null); // there is no room: the draft of before stays
    if (!areSame(pictures, written)) transaction.objectStore('pictures').put(pictures, tab());
    transaction.objectStore('settings').put({ ...settings, at: Date.now() }, tab());
    transaction.commit();
    written = pictures;
  } catch {
    written = null;
  }
}

/** The same files and masks: none is changed, another one takes its place. @param {Pictures} one @param {?Pictures} other */
const areSame = (one, other) =>
  other !== null &&
  Object.keys(one).every(
    (key) => one[key].length === other[key].length && one[key].every((each, index) => each === other[key][index]),
  );

/** What this tab is called, through every reload. */
function tab() {
  const name = recall(TAB, 'sessionStorage') ?? uniqueId();
  keep(TAB, name, 'sessionStorage');
  return name;
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

window.addEventListener('pagehide', write);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) write();
});
