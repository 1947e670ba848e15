/** One job on the easel: how far it is, what it looks like, what can be done with it. */

import { cancelJob, getPreview, manifestUrl, resultUrl } from './api.js';
import { setAspect } from './dropzone.js';
import { follow, isFinished } from './follow.js';
import { duration, jobTitle, medium, number, queuePlace, remaining, STATUS_NAMES } from './format.js';
import { recall } from './keepsakes.js';
import { showProblem } from './problem.js';

const PREVIEW_SECONDS = 1;
const ANNOUNCED_EVERY = 0.25; // of the steps, to screen readers

const element = (id) => document.getElementById(id);

export class JobView {
  /** @type {?import('./api.js').Job} */
  #job = null;
  /** @type {?import('./api.js').Inputs} */
  #inputs = null;
  #watch = new AbortController();
  #preview = { etag: null, askedAt: 0 };
  #announced = '';
  #room = element('job');
  #easel = element('easel');
  #before = this.#easel.querySelector('.before');
  #after = this.#easel.querySelector('.after');
  #compare = this.#easel.querySelector('.compare');
  #cut = this.#compare.querySelector('input');
  #problem = element('job-problem');
  #onUpdate;

  /**
   * @param {object} wiring
   * @param {(job: import('./api.js').Job) => void} wiring.onUpdate  at every answer
   * @param {(job: import('./api.js').Job, inputs: ?import('./api.js').Inputs) => void} wiring.onAgain
   */
  constructor({ onUpdate, onAgain }) {
    this.#onUpdate = onUpdate;
    element('again').addEventListener('click', () => onAgain(this.#job, this.#inputs));
    element('cancel').addEventListener('click', () => this.#cancel());
    element('compare').addEventListener('click', () => this.#setComparing(this.#compare.hidden));
    this.#cut.addEventListener('input', () => this.#moveCut());
  }

  /** Shows the job and stays with it until it ends or `close` is called. @param {string} id */
  async open(id) {
    this.close();
    const { signal } = this.#watch;
    this.#clear();
    const inputs = await recall(id);
    if (signal.aborted) return;
    this.#inputs = inputs;
    if (inputs) await show(this.#before, inputs.content);
    try {
      for await (const job of follow(id, signal)) {
        // The first preview is stored right after the first progress: earlier there is none to ask for.
        const hasPreview = job.status === 'running' && Boolean(this.#job?.progress);
        this.#render(job);
        this.#onUpdate(job);
        if (hasPreview) this.#refreshPreview(signal);
      }
    } catch (problem) {
      this.#room.dataset.status = 'failed';
      element('job-state').textContent = 'Not here';
      showProblem(this.#problem, problem);
    }
  }

  close() {
    this.#watch.abort();
    this.#watch = new AbortController();
  }

  #clear() {
    this.#job = null;
    this.#preview = { etag: null, askedAt: 0 };
    this.#announced = '';
    this.#setComparing(false);
    for (const image of [this.#before, this.#after]) hide(image);
    for (const id of ['job-title', 'job-medium', 'job-state']) element(id).textContent = '';
    for (const id of ['advance', 'losses', 'download', 'manifest', 'compare', 'cancel', 'again'])
      element(id).hidden = true;
    showProblem(this.#problem, null);
    delete this.#room.dataset.status;
  }

  /** @param {import('./api.js').Job} job */
  #render(job) {
    const finished = isFinished(job);
    const isNews = job.status !== this.#job?.status;
    this.#job = job;
    this.#room.dataset.status = job.status;
    element('job-state').textContent = stateOf(job);
    element('job-title').textContent = jobTitle(job);
    element('job-medium').textContent = medium(job);
    element('again').hidden = !finished;
    element('cancel').hidden = finished;
    element('cancel').disabled = job.cancel_requested_at !== null;
    this.#renderProgress(job);
    this.#announce(job);
    if (job.error) showProblem(this.#problem, new Error(job.error.message));
    if (job.status === 'succeeded' && isNews) this.#renderResult(job);
  }

  /** @param {import('./api.js').Job} job */
  #renderProgress({ status, progress, metrics }) {
    const bar = element('job-progress');
    element('advance').hidden = !['queued', 'running'].includes(status);
    element('losses').hidden = !progress?.losses;
    if (!progress) {
      bar.removeAttribute('value');
      element('job-percent').textContent = '';
      element('job-eta').textContent = '';
      element('job-detail').textContent = status === 'running' ? 'Looking at the pictures' : '';
      return;
    }
    bar.value = progress.fraction;
    element('job-percent').textContent = `${Math.floor(100 * progress.fraction)} %`;
    element('job-eta').textContent = progress.eta_seconds === null ? '' : remaining(progress.eta_seconds);
    element('job-detail').textContent = stepsOf(progress);
    for (const field of element('losses').querySelectorAll('dd'))
      field.textContent = progress.losses ? number(progress.losses[field.dataset.loss]) : '';
    if (this.#after.hidden) setAspect(this.#easel, progress.width_px, progress.height_px);
  }

  /** @param {import('./api.js').Job} job */
  #renderResult({ id, output, metadata }) {
    setAspect(this.#easel, output.width_px, output.height_px);
    const download = element('download');
    download.href = resultUrl(id);
    download.download = fileName(metadata, output);
    download.hidden = false;
    element('manifest').href = manifestUrl(id);
    element('manifest').hidden = false;
    element('compare').hidden = this.#inputs === null;
    this.#after.alt = 'The finished picture';
    setSource(this.#after, resultUrl(id));
  }

  /** Asks for a newer preview, at most once a second, and shows it once it is decoded. */
  async #refreshPreview(signal) {
    const now = performance.now();
    if (now - this.#preview.askedAt < 1000 * PREVIEW_SECONDS) return;
    this.#preview.askedAt = now;
    const newer = await getPreview(this.#job.id, this.#preview.etag, signal).catch(() => null);
    if (!newer || signal.aborted || this.#job.status !== 'running') return;
    this.#preview.etag = newer.etag;
    this.#after.alt = 'The picture so far';
    await show(this.#after, newer.picture);
  }

  async #cancel() {
    element('cancel').disabled = true;
    try {
      this.#render(await cancelJob(this.#job.id));
    } catch (problem) {
      element('cancel').disabled = false;
      showProblem(this.#problem, problem);
    }
  }

  #setComparing(on) {
    this.#compare.hidden = !on;
    this.#easel.classList.toggle('comparing', on);
    element('compare').setAttribute('aria-pressed', String(on));
    if (on) this.#moveCut();
  }

  #moveCut() {
    this.#easel.style.setProperty('--cut', `${this.#cut.value}%`);
  }

  /** Tells screen readers what changed, and a quarter of the way at a time. */
  #announce(job) {
    const quarter = ANNOUNCED_EVERY * Math.floor((job.progress?.fraction ?? 0) / ANNOUNCED_EVERY);
    const done = job.status === 'running' && quarter > 0 ? `, ${100 * quarter} % done` : '';
    const sentence = `${stateOf(job)}${done}`;
    if (sentence === this.#announced) return;
    this.#announced = sentence;
    element('announcer').textContent = sentence;
  }
}

/** @param {import('./api.js').Job} job */
function stateOf({ status, queue_position, cancel_requested_at, metrics }) {
  if (status === 'queued') return queuePlace(queue_position);
  if (status === 'running' && cancel_requested_at) return 'Laying down the brush';
  if (status === 'succeeded' && metrics?.run_seconds) return `Painted in ${duration(metrics.run_seconds)}`;
  return STATUS_NAMES[status];
}

/** 'Step 64 of 150, 256 × 192 px, 6.1 steps/s' @param {import('./api.js').Progress} progress */
function stepsOf({ step, total_steps, width_px, height_px, steps_per_second }) {
  const speed = steps_per_second === null ? '' : `, ${number(steps_per_second)} steps/s`;
  return `Step ${step} of ${total_steps}, ${width_px} × ${height_px} px${speed}`;
}

/** 'tubingen-after-starry-night.png' */
function fileName(metadata, output) {
  const words = jobTitle({ metadata }).normalize('NFKD').replace(/[^\w\s-]/g, '').trim();
  return `${words.replace(/\s+/g, '-').toLowerCase()}.${output.content_type.split('/')[1]}`;
}

/** Swaps the picture without a flash: the next one is decoded before it is shown. */
async function show(image, blob) {
  const url = URL.createObjectURL(blob);
  const next = new Image();
  next.src = url;
  try {
    await next.decode();
  } catch {
    return URL.revokeObjectURL(url);
  }
  setSource(image, url);
}

function setSource(image, url) {
  URL.revokeObjectURL(image.src);
  image.src = url;
  image.hidden = false;
}

function hide(image) {
  URL.revokeObjectURL(image.src);
  image.removeAttribute('src');
  image.hidden = true;
}
