/** One job: how far it is, what it looks like, what can be done with it. */

import { cancelJob, getPreview, getResult, manifestUrl } from './api.js';
import { Easel } from './easel.js';
import { follow, isFinished } from './follow.js';
import { duration, jobTitle, medium, number, queuePlace, remaining, STATUS_NAMES } from './format.js';
import { recall } from './keepsakes.js';
import { showProblem } from './problem.js';

const PREVIEW_SECONDS = 1;
const ANNOUNCED_SHARE = 0.25; // of the steps, to screen readers

const element = (id) => document.getElementById(id);

export class JobView {
  /** @type {?import('./api.js').Job} */
  #job = null;
  /** @type {?import('./api.js').Inputs} */
  #inputs = null;
  #watch = new AbortController();
  #preview = { etag: null, askedAt: 0 };
  #easel = new Easel();
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
  }

  /** Shows the job and stays with it until it ends or `close` is called. @param {string} id */
  async open(id) {
    this.close();
    this.#clear();
    const { signal } = this.#watch;
    try {
      await this.#showInputs(id, signal);
      for await (const job of follow(id, signal)) {
        // The first preview is stored right after the first progress: earlier there is none to ask for.
        const hasPreview = job.status === 'running' && Boolean(this.#job?.progress);
        this.#render(job);
        this.#onUpdate(job);
        if (hasPreview) this.#refreshPreview(signal);
        if (job.status === 'succeeded') await this.#showResult(job, signal);
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 404) element('job-title').textContent = 'Nothing hangs here';
      showProblem(this.#problem, problem);
    }
  }

  close() {
    this.#watch.abort();
    this.#watch = new AbortController();
    document.title = 'Impasto';
  }

  #clear() {
    this.#job = null;
    this.#inputs = null;
    this.#preview = { etag: null, askedAt: 0 };
    this.#easel.clear();
    URL.revokeObjectURL(element('download').href);
    for (const id of ['job-title', 'job-medium', 'job-state']) element(id).textContent = '';
    for (const id of ['advance', 'losses', 'download', 'manifest', 'cancel', 'again'])
      element(id).hidden = true;
    showProblem(this.#problem, null);
    delete element('job').dataset.status;
  }

  /** @param {import('./api.js').Job} job */
  #render(job) {
    this.#job = job;
    const finished = isFinished(job);
    element('job').dataset.status = job.status;
    element('job-state').textContent = stateOf(job);
    element('job-title').textContent = jobTitle(job);
    element('job-medium').textContent = medium(job);
    element('advance').hidden = finished;
    element('again').hidden = !finished;
    element('cancel').hidden = finished;
    element('cancel').disabled = job.cancel_requested_at !== null;
    document.title = `${finished ? '' : percentOf(job)} ${jobTitle(job)}`.trim();
    this.#renderProgress(job);
    this.#renderLosses(job.progress?.losses);
    announce(job);
    if (job.error) showProblem(this.#problem, new Error(job.error.message));
  }

  /** @param {import('./api.js').Job} job */
  #renderProgress(job) {
    const { status, progress } = job;
    const bar = element('job-progress');
    if (progress) bar.value = progress.fraction;
    else bar.removeAttribute('value');
    element('job-percent').textContent = percentOf(job);
    element('job-eta').textContent = progress?.eta_seconds == null ? '' : remaining(progress.eta_seconds);
    const beginning = status === 'running' ? 'Looking at the pictures' : '';
    element('job-detail').textContent = progress ? stepsOf(progress) : beginning;
  }

  /** @param {import('./api.js').Progress['losses'] | undefined} losses */
  #renderLosses(losses) {
    element('losses').hidden = !losses;
    if (!losses) return;
    for (const field of element('losses').querySelectorAll('dd'))
      field.textContent = number(losses[field.dataset.loss]);
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #showInputs(id, signal) {
    const inputs = await recall(id);
    if (!inputs || signal.aborted) return;
    this.#inputs = inputs;
    if (inputs.content) await this.#easel.showPhotograph(inputs.content, () => !signal.aborted);
  }

  /** Asks for a newer preview, at most once a second. @param {AbortSignal} signal */
  async #refreshPreview(signal) {
    const now = performance.now();
    if (now - this.#preview.askedAt < 1000 * PREVIEW_SECONDS) return;
    this.#preview.askedAt = now;
    const { id, progress } = this.#job;
    const newer = await getPreview(id, this.#preview.etag, signal).catch(() => null);
    if (!newer || signal.aborted) return;
    this.#preview.etag = newer.etag;
    this.#easel.setShape(progress.width_px, progress.height_px);
    await this.#easel.showPreview(newer.picture, () => !signal.aborted && this.#job.status === 'running');
  }

  /** @param {import('./api.js').Job} job @param {AbortSignal} signal */
  async #showResult({ id, output, metadata }, signal) {
    const picture = await getResult(id, signal);
    this.#easel.setShape(output.width_px, output.height_px);
    await this.#easel.showResult(picture, () => !signal.aborted);
    if (signal.aborted) return;
    const download = element('download');
    download.href = URL.createObjectURL(picture);
    download.download = fileName(metadata, output);
    download.hidden = false;
    element('manifest').href = manifestUrl(id);
    element('manifest').hidden = false;
  }

  async #cancel() {
    const { id } = this.#job;
    element('cancel').disabled = true;
    try {
      const job = await cancelJob(id);
      if (this.#job?.id === id) this.#render(job);
    } catch (problem) {
      element('cancel').disabled = false;
      showProblem(this.#problem, problem);
    }
  }
}

/** Tells screen readers what has changed; of the steps, only every quarter. */
function announce(job) {
  const share = ANNOUNCED_SHARE * Math.floor((job.progress?.fraction ?? 0) / ANNOUNCED_SHARE);
  const done = job.status === 'running' && share > 0 ? `, ${100 * share} % done` : '';
  const sentence = `${stateOf(job)}${done}`;
  const announcer = element('announcer');
  if (announcer.textContent !== sentence) announcer.textContent = sentence;
}

/** @param {import('./api.js').Job} job */
function stateOf({ status, queue_position, cancel_requested_at, metrics }) {
  if (status === 'queued') return queuePlace(queue_position);
  if (status === 'running' && cancel_requested_at) return 'Laying down the brush';
  if (status === 'succeeded') return `Painted in ${duration(metrics.run_seconds)}`;
  return STATUS_NAMES[status];
}

/** '43 %', or nothing before the first step. @param {import('./api.js').Job} job */
const percentOf = ({ progress }) => (progress ? `${Math.floor(100 * progress.fraction)} %` : '');

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
