/** One job: how far it is, what it looks like, what can be done with it. */

import { cancelJob, getInput, getPreview, getResult, retryJob } from './api.js';
import { incident, tell, times } from './chronicle.js';
import { Curves } from './curves.js';
import { download } from './download.js';
import { Easel } from './easel.js';
import { follow, isFinished } from './follow.js';
import { duration, jobTitle, medium, number, queuePlace, remaining, STATUS_NAMES } from './format.js';
import { lossesOf, noteLosses } from './losses.js';
import { showProblem } from './problem.js';
import { Timeline } from './timeline.js';

const ANNOUNCED_SHARE = 0.25; // of the steps, to screen readers

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./timeline.js').Moment} Moment
 *
 * @typedef {object} Wiring
 * @property {(job: Job) => void} onUpdate  at every answer
 * @property {(job: Job) => void} onReuse  the settings are to be used again
 * @property {(job: Job) => void} onNew  another job was made from this one
 * @property {(job: Job) => unknown} onDelete  somebody wishes it away
 */

export class JobView {
  /** @type {?Job} */
  #job = null;
  #watch = new AbortController();
  #easel = new Easel();
  #curves = new Curves(element('curves'));
  #timeline = new Timeline(element('timeline'), element('newest'), (moment, isNewest) =>
    this.#showMoment(moment, isNewest),
  );
  /** Previews that were fetched, by their steps. @type {Map<number, Promise<Blob>>} */
  #previews = new Map();
  /** The finished picture. @type {?Promise<Blob>} */
  #result = null;
  /** @type {?Moment} */
  #wanted = null;
  /** Whether the browser can show the finished picture. */
  #isShowable = true;
  #wiring;

  /** @param {Wiring} wiring */
  constructor(wiring) {
    this.#wiring = wiring;
    this.#curves.onPick = (step) => this.#timeline.seek(step);
    this.#onClick('again', async (job) => wiring.onReuse(job));
    this.#onClick('cancel', async (job) => this.#answered(await cancelJob(job.id)));
    this.#onClick('retry', async (job) => wiring.onNew(await retryJob(job.id)));
    this.#onClick('delete', wiring.onDelete);
    for (const what of /** @type {const} */ (['picture', 'manifest', 'both']))
      this.#onClick(`download-${what}`, async (job) => download(job, what, (await this.#result) ?? null));
  }

  /** Shows the job and stays with it until it ends or `close` is called. @param {string} id */
  async open(id) {
    this.close();
    this.#clear();
    const { signal } = this.#watch;
    try {
      for await (const job of follow(id, signal, (trouble) => this.#renderTrouble(trouble))) {
        const isFirst = this.#job === null;
        this.#render(job);
        if (isFirst) this.#showPhotograph(job, signal);
        this.#wiring.onUpdate(job);
      }
    } catch (problem) {
      if (signal.aborted) return;
      if ([404, 410].includes(problem.status)) element('job-title').textContent = 'Nothing hangs here';
      this.#renderTrouble(null);
      showProblem(element('job-problem'), problem);
    }
  }

  close() {
    this.#watch.abort();
    this.#watch = new AbortController();
    document.title = 'Impasto';
  }

  /** Plays how it was painted, or stops that. */
  togglePlay() {
    this.#timeline.toggle();
  }

  #clear() {
    this.#job = null;
    this.#previews.clear();
    this.#result = null;
    this.#wanted = null;
    this.#isShowable = true;
    this.#timeline.clear();
    this.#easel.clear();
    this.#curves.show([], 1);
    this.#curves.mark(null);
    for (const id of ['job-title', 'job-medium', 'job-state', 'job-incident', 'announcer', 'chronicle'])
      element(id).textContent = '';
    for (const id of ['advance', 'taking', 'cancel', 'retry', 'again', 'delete', 'past', 'origin', 'unseen'])
      element(id).hidden = true;
    this.#renderTrouble(null);
    showProblem(element('job-problem'), null);
    delete element('job').dataset.status;
  }

  /** An answer to a button that was pressed. @param {Job} job */
  #answered(job) {
    if (this.#job?.id === job.id && !isFinished(this.#job)) this.#render(job);
  }

  /** @param {Job} job */
  #render(job) {
    this.#job = job;
    const finished = isFinished(job);
    element('job').dataset.status = job.status;
    element('job-state').textContent = stateOf(job);
    element('job-title').textContent = jobTitle(job);
    element('job-medium').textContent = medium(job);
    setText(element('job-incident'), incident(job));
    document.title = `${finished ? '' : percentOf(job)} ${jobTitle(job)}`.trim();

    element('advance').hidden = finished;
    element('cancel').hidden = finished;
    element('cancel').toggleAttribute('disabled', job.cancel_requested_at !== null);
    element('again').hidden = !finished;
    element('delete').hidden = !finished;
    element('retry').hidden = !['failed', 'canceled'].includes(job.status);
    element('taking').hidden = job.output === null;
    if (job.error) showProblem(element('job-problem'), new Error(job.error.message));
    this.#renderProgress(job);
    this.#renderPast(job);
    this.#renderMoments(job);
    noteLosses(job);
    this.#curves.show(lossesOf(job.id), job.progress?.total_steps ?? job.params.steps);
    announce(job);
  }

  /** @param {Job} job */
  #renderProgress({ status, progress }) {
    const bar = /** @type {HTMLProgressElement} */ (element('job-progress'));
    if (progress) bar.value = progress.fraction;
    else bar.removeAttribute('value');
    element('job-percent').textContent = percentOf({ progress });
    element('job-eta').textContent = progress?.eta_seconds == null ? '' : remaining(progress.eta_seconds);
    const beginning = status === 'running' ? 'Looking at the pictures' : '';
    element('job-detail').textContent = progress ? stepsOf(progress) : beginning;
  }

  /** @param {Job} job */
  #renderPast(job) {
    element('past').hidden = job.history.length === 0;
    tell(element('chronicle'), job.history);
    setText(element('times'), times(job));
    element('origin').hidden = job.retried_from === null;
    element('origin').querySelector('a')?.setAttribute('href', `#job/${job.retried_from}`);
  }

  /** @param {Job} job */
  #renderMoments({ progress, output }) {
    if (output && !this.#result) this.#fetchResult();
    const total = progress?.total_steps ?? 0;
    const steps = progress?.previews ?? [];
    /** @type {Moment[]} */
    const moments = steps.map((step) => ({ step, isResult: false }));
    if (output && this.#isShowable) {
      if (steps.at(-1) === total) moments.pop(); // the same picture, only smaller
      moments.push({ step: total, isResult: true });
    }
    const shape = output ?? progress;
    if (shape) this.#easel.setShape(shape.width_px, shape.height_px);
    element('unseen').hidden = !output || this.#isShowable;
    this.#timeline.set(moments);
  }

  /** Lies outside of the rest: the page can be used while the service is away. @param {?Error} trouble */
  #renderTrouble(trouble) {
    setText(element('job-trouble'), trouble ? `${trouble.message} The page goes on asking.` : '');
  }

  #fetchResult() {
    const job = /** @type {Job} */ (this.#job);
    // Browsers show no TIFF but Safari: the previews have to do.
    this.#isShowable = job.output?.content_type !== 'image/tiff';
    if (!this.#isShowable) return;
    const { signal } = this.#watch;
    this.#result = getResult(job.id, signal);
    this.#result.catch((problem) => {
      this.#result = null;
      if (!signal.aborted) showProblem(element('job-problem'), problem);
    });
  }

  /** @param {Job} job @param {AbortSignal} signal */
  async #showPhotograph({ id, inputs }, signal) {
    if (!inputs.content) return;
    const picture = await getInput(id, inputs.content, signal).catch(() => null);
    if (picture) await this.#easel.showPhotograph(picture, () => !signal.aborted);
  }

  /** @param {Moment} moment @param {boolean} isNewest */
  async #showMoment(moment, isNewest) {
    this.#wanted = moment;
    this.#curves.mark(isNewest ? null : moment.step);
    const { signal } = this.#watch;
    const picture = await (moment.isResult ? this.#result : this.#preview(moment.step))?.catch(() => null);
    const isWanted = () => !signal.aborted && this.#wanted === moment;
    if (!picture || !isWanted()) return;
    const name = moment.isResult ? 'The finished picture' : nameOf(moment, isNewest);
    const isShown = await this.#easel.showPainting(picture, name, isWanted);
    if (isShown || !moment.isResult || !isWanted()) return;
    this.#isShowable = false;
    this.#renderMoments(/** @type {Job} */ (this.#job));
  }

  /** A preview, which is fetched once. @param {number} step */
  #preview(step) {
    const known = this.#previews.get(step);
    if (known) return known;
    const { id } = /** @type {Job} */ (this.#job);
    const fetching = getPreview(id, step, this.#watch.signal);
    this.#previews.set(step, fetching);
    fetching.catch(() => this.#previews.delete(step));
    return fetching;
  }

  /**
   * Does what a button is for; while it is done, the button is out of use.
   *
   * @param {string} id  of the button
   * @param {(job: Job) => unknown} action
   */
  #onClick(id, action) {
    const button = element(id);
    button.addEventListener('click', async () => {
      const job = /** @type {Job} */ (this.#job);
      const { signal } = this.#watch;
      button.toggleAttribute('disabled', true);
      showProblem(element('job-problem'), null);
      try {
        await action(job);
      } catch (problem) {
        if (!signal.aborted) showProblem(element('job-problem'), problem);
      } finally {
        button.toggleAttribute('disabled', id === 'cancel' && this.#job?.cancel_requested_at != null);
      }
    });
  }
}

/** @param {Moment} moment @param {boolean} isNewest */
const nameOf = ({ step }, isNewest) => (isNewest ? 'The picture so far' : `The picture after step ${step}`);

/** Tells screen readers what has changed; of the steps, only every quarter. @param {Job} job */
function announce(job) {
  const share = ANNOUNCED_SHARE * Math.floor((job.progress?.fraction ?? 0) / ANNOUNCED_SHARE);
  const done = job.status === 'running' && share > 0 ? `, ${100 * share} % done` : '';
  setText(element('announcer'), `${stateOf(job)}${done}`);
}

/** @param {Job} job */
export function stateOf({ status, queue_position, cancel_requested_at, metrics }) {
  if (status === 'queued') return queuePlace(queue_position);
  if (status === 'running' && cancel_requested_at) return 'Laying down the brush';
  if (status === 'succeeded' && metrics.run_seconds !== null) return `Painted in ${duration(metrics.run_seconds)}`;
  return STATUS_NAMES[status];
}

/** '43 %', or nothing before the first step. @param {Pick<Job, 'progress'>} job */
const percentOf = ({ progress }) => (progress ? `${Math.floor(100 * progress.fraction)} %` : '');

/** 'Step 64 of 150, 256 × 192 px, 6.1 steps/s' @param {import('./api.js').Progress} progress */
function stepsOf({ step, total_steps, width_px, height_px, steps_per_second }) {
  const speed = steps_per_second === null ? '' : `, ${number(steps_per_second)} steps/s`;
  return `Step ${step} of ${total_steps}, ${width_px} × ${height_px} px${speed}`;
}

/**
 * A live region speaks whenever its text is set, so it is set only when it changes.
 *
 * @param {HTMLElement} target
 * @param {string} text
 */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** @param {string} id @returns {HTMLElement} */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
