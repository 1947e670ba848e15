/** Wires the page together. The address says what is shown: `#job/ID`, or the form. */

import { listPresets } from './api.js';
import { Compose } from './compose.js';
import { byId, part } from './dom.js';
import { Gallery } from './gallery.js';
import { JobView } from './job.js';
import { wireKeys } from './key_dialog.js';
import { tellOfEnd, wireNotices } from './notices.js';
import { isTransient, sleep } from './patience.js';
import { holdsFiles, picturesOf } from './pictures.js';
import { showProblem } from './problem.js';
import { wireShortcuts } from './shortcuts.js';
import { watchWorkers } from './workers.js';

const PRESETS_RETRY_SECONDS = 3;

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
});

/** @param {Job} job */
function reuse(job) {
  goTo('#');
  compose.refill(job);
}

/** @param {string} hash */
function goTo(hash) {
  location.hash = hash;
}

/** Shows what the address names. */
function route() {
  const id = location.hash.match(/^#job\/(.+)$/)?.[1];
  byId('compose', HTMLElement).hidden = id !== undefined;
  byId('job', HTMLElement).hidden = id === undefined;
  gallery.setCurrent(id ?? null);
  gallery.refresh();
  if (id === undefined) jobView.close();
  else jobView.open(decodeURIComponent(id));
}

/** Where somebody goes on reading who has just been brought here. */
const heading = () => part(document, '.room:not([hidden]) h1', HTMLElement);

window.addEventListener('hashchange', () => {
  route();
  window.scrollTo({ top: 0 });
  heading().focus({ preventScroll: true });
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
  if (!holdsFiles(transfer)) return;
  event.preventDefault();
  goTo('#');
  compose.take(picturesOf(transfer));
}

document.addEventListener('paste', (event) => take(event, event.clipboardData));
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  take(event, event.dataTransfer);
});

/** Nothing can be ordered before the presets are known, so this does not give up. */
async function loadPresets() {
  for (;;) {
    try {
      return compose.setPresets(await listPresets());
    } catch (problem) {
      showProblem(byId('compose-problem', HTMLElement), problem);
      if (!isTransient(problem)) return;
    }
    await sleep(PRESETS_RETRY_SECONDS);
  }
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

wireKeys(() => {
  route();
  watchWorkers(byId('workers', HTMLElement));
});
wireNotices(byId('allow-notices', HTMLElement));
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
