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
const PATIENCE_SECONDS = 3; // some browsers take their time, or never answer: the page does not wait for them
const RELOAD_MS = 500; // in which a page gives up the name of its tab to the one that takes its place
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
/** What this tab is called, through every reload. */
let tab = '';
/** @type {?(Pictures & {id: string})} that are in the draft already, unless another tab has thrown it away */
let written = null;
/** @type {?(() => Form)} what has changed and is not written yet */
let getForm = null;
let timer = 0;
/** Whether nothing is kept any more. */
let isOver = false;

/** To be called once, before anything is kept. @returns {Promise<?Form>} null without one that is whole */
export async function readDraft() {
  const draft = await Promise.race([read().catch(() => null), sleep(PATIENCE_SECONDS)]);
  return draft ?? null;
}

/** Something has changed; it is written when nothing does for a while, or when the page is left. @param {() => Form} form */
export function keepDraft(form) {
  getForm = form;
  clearTimeout(timer);
  timer = setTimeout(write, QUIET_MS);
}

/** Forgets the drafts of all tabs, and keeps none until the page is loaded anew. @returns {Promise<void>} */
export async function forgetDrafts() {
  isOver = true;
  const forgetting = clear().catch(() => {}); // there are none, or nobody can get at them
  await Promise.race([forgetting, sleep(PATIENCE_SECONDS)]);
}

async function clear() {
  const transaction = (database ?? (await open())).transaction(STORES, 'readwrite');
  const clearing = storesOf(transaction).map((store) => answer(store.clear()));
  transaction.commit();
  await Promise.all(clearing);
}

async function open() {
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
  return opened;
}

async function read() {
  const [opened, before] = await Promise.all([open(), nameTab()]);
  database = opened;
  const [settingsOf, picturesOf] = storesOf(database.transaction(STORES, 'readwrite'));
  const [tabs, all] = await Promise.all([answer(settingsOf.getAllKeys()), answer(settingsOf.getAll())]);
  const old = tabs.filter((_, index) => Date.now() - all[index].at > KEPT_MS);
  for (const store of [settingsOf, picturesOf]) for (const name of old) store.delete(name);
  const [settings, pictures] = await Promise.all([settingsOf, picturesOf].map((store) => answer(store.get(before))));
  if (!settings || !pictures) return null;
  if (tab !== before) {
    settingsOf.put(settings, tab);
    picturesOf.put(pictures, tab);
  }
  pictures.masks = pictures.masks.map((mask) => mask && new Mask(mask.width, mask.height, mask.values));
  const hung = [...pictures.content, ...pictures.beginning, ...pictures.paintings];
  const files = [...hung.map(({ file }) => file), ...pictures.maskFiles.filter(Boolean)];
  await Promise.all(files.map((file) => file.slice(0, 1).arrayBuffer())); // throws where a file is gone
  written = pictures;
  return { settings, pictures };
}

/** Begins to write what has changed. A browser as a rule ends it, even if the page is left meanwhile. */
function write({ isLeaving = false } = {}) {
  clearTimeout(timer);
  if (!getForm || !database || isOver) return;
  const { settings, pictures } = getForm();
  getForm = null;
  const known = written && areSame(pictures, written) ? written : null;
  const next = known ?? { ...pictures, id: uniqueId() };
  try {
    const transaction = database.transaction(STORES, 'readwrite');
    transaction.onabort = () => (written = null); // there is no room: the draft of before stays
    const [settingsOf, picturesOf] = storesOf(transaction);
    const before = settingsOf.get(tab);
    settingsOf.put({ ...settings, picturesId: next.id, at: Date.now() }, tab);
    const putPictures = () => picturesOf.put(next, tab);
    if (!known || isLeaving) putPictures();
    else before.onsuccess = () => before.result?.picturesId === next.id || putPictures(); // another tab was at it
    if (isLeaving) transaction.commit(); // and nobody hears of an answer any more
    written = next;
  } catch {
    written = null;
  }
}

/** @param {IDBTransaction} transaction */
const storesOf = (transaction) => STORES.map((name) => transaction.objectStore(name));

/**
 * The same files and masks: none is changed, another one takes its place.
 *
 * @param {Pictures} one
 * @param {Pictures} other
 */
const areSame = (one, other) =>
  Object.keys(one).every(
    (key) => one[key].length === other[key].length && one[key].every((each, index) => each === other[key][index]),
  );

/** Finds a name for this tab that no other has. @returns {Promise<string>} what it was called so far */
async function nameTab() {
  const before = recall(TAB, 'sessionStorage') ?? uniqueId();
  tab = before;
  while (!(await hold(tab))) tab = uniqueId(); // who duplicates a tab has two of the same name
  keep(TAB, tab, 'sessionStorage');
  return before;
}

/** Keeps a name until the page is left. @param {string} name @returns {Promise<boolean>} false if another tab has it */
async function hold(name) {
  const { locks } = navigator;
  if (!locks) return true; // over plain HTTP two of a name have one draft, that of the last change
  return new Promise((resolve) => {
    const held = () => {
      resolve(true);
      return new Promise(() => {});
    };
    const options = { signal: AbortSignal.timeout(RELOAD_MS) };
    locks.request(`impasto ${name}`, options, held).catch((error) => resolve(error.name !== 'TimeoutError'));
  });
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

window.addEventListener('pagehide', () => write({ isLeaving: true }));
document.addEventListener('visibilitychange', () => {
  if (document.hidden) write({ isLeaving: true });
});
