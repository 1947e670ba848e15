/** Wires the page together. The address says what is shown: `#job/ID`, or the form. */

import { listPresets } from './api.js';
import { Compose } from './compose.js';
import { byId, part } from './dom.js';
import { Gallery } from './gallery.js';
import { JobView } from './job.js';
import { wireKeys } from './key_dialog.js';
import { tellOfEnd, wireNotices } from './notices.js';
import { persistently } from './patience.js';
import { holdsFiles, picturesOf } from './pictures.js';
import { showProblem } from './problem.js';
import { isTyping, wireShortcuts } from './shortcuts.js';
import { watchWorkers } from './workers.js';

/** @typedef {import('./api.js').Job} Job */

const compose = new Compose((job) => goTo(`#job/${job.id}`));
const gallery = new Gallery({
  onEnd: tellOfEnd,
  onReuse: reuse,
  onDeleted(id) {
    if (location.hash === `#job/${id}`) goTo('#');
  },
});
const jobView = new JobView({
  onUpdate: (job) => gallery.update(job),
  onReuse: reuse,
  onNew: (job) => goTo(`#job/${job.id}`),
  onDelete: (job) => gallery.remove(job),
  onPaintOn(picture) {
    goTo('#');
    compose.paintOn(picture);
  },
});

/** @param {Job} job */
function reuse(job) {
  goTo('#');
  compose.refill(job);
}

/** Brings the visitor there, also who is there already but looks elsewhere. @param {string} hash */
function goTo(hash) {
  if (isHere(hash)) arrive();
  else location.hash = hash;
}

/** @param {string} hash */
const isHere = (hash) => (location.hash || '#') === hash;

/** Shows what the address names. */
function route() {
  const id = idOf(location.hash);
  byId('compose', HTMLElement).hidden = id !== undefined;
  byId('job', HTMLElement).hidden = id === undefined;
  gallery.setCurrent(id ?? null);
  gallery.refresh();
  if (id === undefined) jobView.close();
  else jobView.open(id, gallery.jobOf(id));
}

/** @param {string} hash @returns {string | undefined} the job that it names */
function idOf(hash) {
  const id = hash.match(/^#job\/(.+)$/)?.[1];
  try {
    return id && decodeURIComponent(id);
  } catch {
    return id; // no such job then, as the service will say
  }
}

/** Where somebody goes on reading who has just been brought here. */
const heading = () => part(document, '.room:not([hidden]) h1', HTMLElement);

/** The visitor begins at the top of what is shown. */
function arrive() {
  window.scrollTo({ top: 0 });
  heading().focus({ preventScroll: true });
}

window.addEventListener('hashchange', () => {
  route();
  arrive();
});

// A link to where one is already changes no address.
document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null;
  const isForHere = !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (link && isForHere && isHere(link.getAttribute('href') ?? '')) arrive();
});

byId('skip', HTMLElement).addEventListener('click', (event) => {
  event.preventDefault(); // the address says which job is shown
  heading().focus();
});

/**
 * Pictures that miss a frame, or come from the clipboard, still find their place.
 *
 * @param {Event} event
 * @param {?DataTransfer} transfer
 */
function take(event, transfer) {
  if (!holdsFiles(transfer) || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  goTo('#');
  compose.take(picturesOf(transfer));
}

document.addEventListener('paste', (event) => {
  // Office programs put a picture of the text beside it.
  const isText = isTyping(event) && event.clipboardData?.types.includes('text/plain');
  if (!isText) take(event, event.clipboardData);
});
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  take(event, event.dataTransfer);
});

/** Nothing can be ordered before the presets are known, so this says why they are not, and does not give up. */
async function loadPresets() {
  const problem = byId('compose-problem', HTMLElement);
  const attempt = () =>
    listPresets().catch((reason) => {
      showProblem(problem, reason);
      throw reason;
    });
  const catalog = await persistently(attempt).catch(() => null);
  if (!catalog) return;
  compose.setPresets(catalog);
  jobView.setCatalog(catalog);
  gallery.setPresets(catalog.presets);
}

/** Goes to the work that hangs beside this one. @param {1 | -1} direction */
function goBeside(direction) {
  const id = gallery.beside(direction);
  if (id) goTo(`#job/${id}`);
}

/** Presses a button, if it is there to be pressed. @param {string} id */
function press(id) {
  const button = byId(id, HTMLElement);
  if (button.offsetParent !== null) button.click();
}

wireKeys();
wireNotices(byId('allow-notices', HTMLElement), part(document, '.links a', HTMLElement));
wireShortcuts({
  n: () => goTo('#'),
  g: () => {
    byId('gallery-heading', HTMLElement).scrollIntoView();
    byId('gallery-heading', HTMLElement).focus({ preventScroll: true });
  },
  j: () => goBeside(1),
  k: () => goBeside(-1),
  p: () => jobView.togglePlay(),
  c: () => press('compare'),
  z: () => press('zoom'),
  d: () => press('download-picture'),
  t: () => press('theme'),
});
watchWorkers(byId('workers', HTMLElement));
loadPresets();
route();
