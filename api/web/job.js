/** One job: how far it is, what it looks like, what can be done with it. */

import { cancelJob, getInput, getLosses, getPreview, getResult, retryJob } from './api.js';
import { incident, tell, times } from './chronicle.js';
import { Curves } from './curves.js';
import { byId } from './dom.js';
import { download } from './download.js';
import { Easel } from './easel.js';
import { follow, isFinished } from './follow.js';
import { duration, jobTitle, medium, number, queuePlace, remaining, STATUS_NAMES } from './format.js';
import { withKept, withNewest } from './losses.js';
import { persistently } from './patience.js';
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
  #curves = new Curves(byId('curves', HTMLElement));
  #timeline = new Timeline(byId('timeline', HTMLElement), byId('newest', HTMLElement), (moment, isNewest) =>
    this.#showMoment(moment, isNewest),
  );
  /** Previews that were fetched, by their steps. @type {Map<number, Promise<Blob>>} */
  #previews = new Map();
  /** @type {import('./losses.js').Point[]} */
  #losses = [];
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
      this.#onClick(`download-${what}`, async (job) => download(job, what, (await this.#result?.catch(() => null)) ?? null));
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
        if (isFirst || isFinished(job)) this.#showKeptLosses(job, signal);
        this.#wiring.onUpdate(job);
      }
    } catch (problem) {
      if (signal.aborted) return;
      if ([404, 410].includes(problem.status)) byId('job-title', HTMLElement).textContent = 'Nothing hangs here';
      this.#renderTrouble(null);
      showProblem(byId('job-problem', HTMLElement), problem);
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
    this.#losses = [];
    this.#curves.show([], 1);
    this.#curves.mark(null);
    for (const id of ['job-title', 'job-medium', 'job-state', 'job-incident', 'announcer', 'chronicle'])
      byId(id, HTMLElement).textContent = '';
    for (const id of ['advance', 'taking', 'cancel', 'retry', 'again', 'delete', 'past', 'origin', 'unseen'])
      byId(id, HTMLElement).hidden = true;
    this.#renderTrouble(null);
    showProblem(byId('job-problem', HTMLElement), null);
    delete byId('job', HTMLElement).dataset.status;
  }

  /** An answer to a button that was pressed. @param {Job} job */
  #answered(job) {
    if (this.#job?.id === job.id && !isFinished(this.#job)) this.#render(job);
  }

  /** @param {Job} job */
  #render(job) {
    this.#job = job;
    const finished = isFinished(job);
    const focused = document.activeElement;
    byId('job', HTMLElement).dataset.status = job.status;
    byId('job-state', HTMLElement).textContent = stateOf(job);
    byId('job-title', HTMLElement).textContent = jobTitle(job);
    byId('job-medium', HTMLElement).textContent = medium(job);
    setText(byId('job-incident', HTMLElement), incident(job));
    document.title = `${finished ? '' : percentOf(job)} ${jobTitle(job)}`.trim();

    byId('advance', HTMLElement).hidden = finished;
    byId('cancel', HTMLElement).hidden = finished || job.cancel_requested_at !== null;
    byId('again', HTMLElement).hidden = !finished;
    byId('delete', HTMLElement).hidden = !finished;
    byId('retry', HTMLElement).hidden = !['failed', 'canceled'].includes(job.status);
    byId('taking', HTMLElement).hidden = job.output === null;
    if (job.error) showProblem(byId('job-problem', HTMLElement), new Error(job.error.message));
    this.#renderProgress(job);
    this.#renderPast(job);
    this.#renderMoments(job);
    this.#renderLosses(withNewest(this.#losses, job.progress));
    announce(job);
    keepFocus(focused);
  }

  /** @param {Job} job */
  #renderProgress({ status, progress }) {
    const bar = byId('job-progress', HTMLProgressElement);
    if (progress) bar.value = progress.fraction;
    else bar.removeAttribute('value');
    byId('job-percent', HTMLElement).textContent = percentOf({ progress });
    byId('job-eta', HTMLElement).textContent = progress?.eta_seconds == null ? '' : remaining(progress.eta_seconds);
    const beginning = status === 'running' ? 'Looking at the pictures' : '';
    byId('job-detail', HTMLElement).textContent = progress ? stepsOf(progress) : beginning;
  }

  /** @param {Job} job */
  #renderPast(job) {
    byId('past', HTMLElement).hidden = job.history.length === 0;
    tell(byId('chronicle', HTMLElement), job.history);
    setText(byId('times', HTMLElement), times(job));
    byId('origin', HTMLElement).hidden = job.retried_from === null;
    byId('origin', HTMLElement).querySelector('a')?.setAttribute('href', `#job/${job.retried_from}`);
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
    byId('unseen', HTMLElement).hidden = !output || this.#isShowable;
    this.#timeline.set(moments);
  }

  /** @param {import('./losses.js').Point[]} losses */
  #renderLosses(losses) {
    this.#losses = losses;
    const { progress, params } = /** @type {Job} */ (this.#job);
    this.#curves.show(losses, progress?.total_steps ?? params.steps);
  }

  /** Lies outside of the rest: the page can be used while the service is away. @param {?Error} trouble */
  #renderTrouble(trouble) {
    setText(byId('job-trouble', HTMLElement), trouble ? `${trouble.message} The page goes on asking.` : '');
  }

  #fetchResult() {
    const job = /** @type {Job} */ (this.#job);
    // Browsers show no TIFF but Safari: the previews have to do.
    this.#isShowable = job.output?.content_type !== 'image/tiff';
    if (!this.#isShowable) return;
    const { signal } = this.#watch;
    this.#result = persistently(() => getResult(job.id, signal), signal);
    this.#result.catch((problem) => {
      if (!signal.aborted) showProblem(byId('job-problem', HTMLElement), problem);
    });
  }

  /** @param {Job} job @param {AbortSignal} signal */
  async #showPhotograph({ id, inputs }, signal) {
    if (!inputs.content) return;
    const sha256 = inputs.content;
    const picture = await persistently(() => getInput(id, sha256, signal), signal).catch(() => null);
    if (picture) await this.#easel.showPhotograph(picture, () => !signal.aborted);
  }

  /** What was missed: before a reload, before it was opened, or in between. @param {Job} job @param {AbortSignal} signal */
  async #showKeptLosses({ id, progress }, signal) {
    if (!progress?.previews.length) return; // none are kept yet
    const curve = await persistently(() => getLosses(id, signal), signal).catch(() => null);
    if (curve && !signal.aborted) this.#renderLosses(withKept(curve, this.#losses));
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
    const { signal } = this.#watch;
    const fetching = persistently(() => getPreview(id, step, signal), signal);
    this.#previews.set(step, fetching);
    fetching.catch(() => {}); // thinned out meanwhile: whoever shows it sees to that
    return fetching;
  }

  /**
   * Does what a button is for, once at a time.
   *
   * @param {string} id  of the button
   * @param {(job: Job) => unknown} action
   */
  #onClick(id, action) {
    let isDone = true;
    byId(id, HTMLElement).addEventListener('click', async () => {
      if (!isDone) return;
      isDone = false; // not `disabled`: that would take the keyboard's focus away
      const { signal } = this.#watch;
      showProblem(byId('job-problem', HTMLElement), null);
      try {
        await action(/** @type {Job} */ (this.#job));
      } catch (problem) {
        if (!signal.aborted) showProblem(byId('job-problem', HTMLElement), problem);
      } finally {
        isDone = true;
      }
    });
  }
}

/** @param {Moment} moment @param {boolean} isNewest */
const nameOf = ({ step }, isNewest) => (isNewest ? 'The picture so far' : `The picture after step ${step}`);

/** A button that goes away hands the focus to the title. @param {?Element} focused */
function keepFocus(focused) {
  if (focused instanceof HTMLElement && focused.hidden) byId('job-title', HTMLElement).focus();
}

/** Tells screen readers what has changed; of the steps, only every quarter. @param {Job} job */
function announce(job) {
  const share = ANNOUNCED_SHARE * Math.floor((job.progress?.fraction ?? 0) / ANNOUNCED_SHARE);
  const done = job.status === 'running' && share > 0 ? `, ${100 * share} % done` : '';
  setText(byId('announcer', HTMLElement), `${stateOf(job)}${done}`);
}

/** @param {Job} job */
function stateOf({ status, queue_position, cancel_requested_at, metrics }) {
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
