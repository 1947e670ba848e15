/** Wires the page together. The address says what is shown: `#job/ID`, or the form. */

import { listPresets } from './api.js';
import { Compose } from './compose.js';
import { picturesOf } from './dropzone.js';
import { isFinished } from './follow.js';
import { Gallery } from './gallery.js';
import { JobView } from './job.js';
import { showProblem } from './problem.js';
import { watchWorkers } from './workers.js';

const PRESETS_RETRY_SECONDS = 3;

const element = (id) => document.getElementById(id);

const gallery = new Gallery();
const compose = new Compose((job) => goTo(`#job/${job.id}`));
const jobView = new JobView({
  onUpdate(job) {
    gallery.update(job);
    if (isFinished(job)) gallery.refresh();
  },
  onAgain(job, inputs) {
    compose.refill(job, inputs);
    goTo('#');
  },
});

function goTo(hash) {
  location.hash = hash;
}

/** Shows what the address names. */
function route() {
  const id = location.hash.match(/^#job\/(.+)$/)?.[1];
  element('compose').hidden = id !== undefined;
  element('job').hidden = id === undefined;
  gallery.setCurrent(id ?? null);
  gallery.refresh();
  if (id === undefined) jobView.close();
  else jobView.open(decodeURIComponent(id));
}

window.addEventListener('hashchange', () => {
  route();
  window.scrollTo({ top: 0 });
  document.querySelector('.room:not([hidden]) h1').focus({ preventScroll: true });
});

/** Pictures that miss a frame, or come from the clipboard, still find their place. */
function take(event, transfer) {
  const pictures = picturesOf(transfer);
  if (pictures.length === 0) return;
  event.preventDefault();
  goTo('#');
  compose.take(pictures);
}

document.addEventListener('paste', (event) => take(event, event.clipboardData));
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  take(event, event.dataTransfer);
});

/** Nothing can be ordered before the presets are known, so this does not give up. */
async function loadPresets() {
  try {
    compose.setPresets(await listPresets());
  } catch (problem) {
    showProblem(element('compose-problem'), problem);
    setTimeout(loadPresets, 1000 * PRESETS_RETRY_SECONDS);
  }
}

watchWorkers(element('workers'));
loadPresets();
route();
