/** One job: how far it is, what it looks like, what can be done with it. */

import { cancelJob, getInput, getLosses, getPreview, getResult, hasKey, retryJob } from './api.js';
import { incident, tell, times } from './chronicle.js';
import { wireCopying } from './copying.js';
import { Curves } from './curves.js';
import { byId, setText } from './dom.js';
import { download, pictureFile } from './download.js';
import { Easel } from './easel.js';
import { follow, isFinished } from './follow.js';
import { duration, jobTitle, medium, number, percentOf, remaining, sentence, stateOf } from './format.js';
import { withKept, withNewest } from './losses.js';
import { persistently } from './patience.js';
import { showProblem } from './problem.js';
import { presetOf, recipe } from './recipe.js';
import { requestOf } from './request.js';
import { nameTab } from './tab.js';
import { Timeline } from './timeline.js';

const ANNOUNCED_SHARE = 0.25; // of the steps, to screen readers
/** What is hidden until it is known whether there is something for it. */
const UNKNOWN_YET = [
  'advance', 'taking', 'unseen', 'past', 'origin', 'job-copy', 'cancel', 'retry', 'paint-on', 'again', 'delete',
];

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./timeline.js').Moment} Moment
 *
 * @typedef {object} Wiring
 * @property {(job: Job) => void} onUpdate  at every answer
 * @property {(job: Job) => void} onReuse  the settings are to be used again
 * @property {(job: Job) => void} onNew  another job was made from this one
 * @property {(job: Job) => unknown} onDelete  somebody wishes it away
 * @property {(picture: File) => void} onPaintOn  the picture is to be the photograph of another
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
  /** The same, once it is here. @type {?Blob} */
  #picture = null;
  /** Once it is known. @type {?import('./api.js').Catalog} */
  #catalog = null;
  /** @type {?Moment} */
  #wanted = null;
  /** Whether the browser can show the finished picture. */
  #isShowable = true;
  /** Buttons that do something with the job. @type {HTMLElement[]} */
  #deeds = [];
  #wiring;

  /** @param {Wiring} wiring */
  constructor(wiring) {
    this.#wiring = wiring;
    this.#curves.onPick = (step) => this.#timeline.seek(step);
    this.#onClick('again', async (job) => wiring.onReuse(job));
    this.#onClick('cancel', async (job) => this.#answered(await cancelJob(job.id)));
    this.#onClick('retry', async (job) => wiring.onNew(await retryJob(job.id)));
    this.#onClick('delete', wiring.onDelete);
    wireCopying(byId('job-copy', HTMLElement), () => ({
      ...requestOf(/** @type {Job} */ (this.#job), /** @type {import('./api.js').Catalog} */ (this.#catalog)),
      url: location.origin,
      hasKey: hasKey(),
    }));
    this.#onClick('paint-on', (job) => this.#paintOn(job));
    for (const what of /** @type {const} */ (['picture', 'manifest', 'both']))
      this.#onClick(`download-${what}`, (job) => download(job, what, this.#picture));
  }

  /** From now on, labels say how pictures are painted. @param {import('./api.js').Catalog} catalog */
  setCatalog(catalog) {
    this.#catalog = catalog;
    if (this.#job) this.#renderRecipe(this.#job);
  }

  /**
   * Shows the job and stays with it until it ends or `close` is called.
   *
   * @param {string} id
   * @param {?Job} known  what it was when it was seen last: its title is there at once
   */
  async open(id, known) {
    this.close();
    if (known) byId('job-title', HTMLElement).textContent = jobTitle(known);
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
      if (isGone(problem)) byId('job-title', HTMLElement).textContent = 'Nothing hangs here';
      this.#renderTrouble(null);
      showProblem(byId('job-problem', HTMLElement), problem);
    }
  }

  /** Nothing of the job stays; what a button has begun is not told any more. */
  close() {
    this.#watch.abort();
    this.#watch = new AbortController();
    nameTab();
    this.#clear();
  }

  /** Plays how it was painted, or stops that. */
  togglePlay() {
    this.#timeline.toggle();
  }

  #clear() {
    this.#job = null;
    this.#previews.clear();
    this.#result = null;
    this.#picture = null;
    this.#wanted = null;
    this.#isShowable = true;
    this.#timeline.clear();
    this.#easel.clear();
    this.#losses = [];
    this.#curves.show([], 1);
    this.#curves.mark(null);
    for (const id of ['job-title', 'job-medium', 'job-recipe', 'job-state', 'job-incident', 'announcer', 'chronicle'])
      byId(id, HTMLElement).textContent = '';
    for (const id of UNKNOWN_YET) byId(id, HTMLElement).hidden = true;
    for (const button of this.#deeds) button.ariaBusy = null;
    this.#renderTrouble(null);
    for (const id of ['job-problem', 'deed-problem']) showProblem(byId(id, HTMLElement), null);
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
    byId('job-state', HTMLElement).textContent = stateOnLabel(job);
    byId('job-title', HTMLElement).textContent = jobTitle(job);
    byId('job-medium', HTMLElement).textContent = medium(job);
    setText(byId('job-incident', HTMLElement), incident(job));
    nameTab(`${finished ? '' : percentOf(job)} ${jobTitle(job)}`.trim());

    byId('advance', HTMLElement).hidden = finished;
    byId('cancel', HTMLElement).hidden = finished || job.cancel_requested_at !== null;
    byId('again', HTMLElement).hidden = !finished;
    byId('delete', HTMLElement).hidden = !finished;
    byId('retry', HTMLElement).hidden = !['failed', 'canceled'].includes(job.status);
    for (const id of ['taking', 'paint-on']) byId(id, HTMLElement).hidden = job.output === null;
    if (job.error) showProblem(byId('job-problem', HTMLElement), new Error(job.error.message));
    this.#renderProgress(job);
    this.#renderRecipe(job);
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

  /** How it is painted: the manner, and what is unlike it. @param {Job} job */
  #renderRecipe(job) {
    const told = recipe(job, presetOf(job, this.#catalog?.presets ?? []));
    const list = byId('job-recipe', HTMLElement);
    if (list.textContent !== told.flat().join('')) list.replaceChildren(...told.map(ingredient));
    byId('job-copy', HTMLElement).hidden = !this.#catalog;
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
    if (output) setText(byId('unseen', HTMLElement), unseen(output, moments.length > 0));
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
    setText(byId('job-trouble', HTMLElement), trouble ? `${sentence(trouble.message)} The page goes on asking.` : '');
  }

  #fetchResult() {
    const job = /** @type {Job} */ (this.#job);
    // Browsers show no TIFF but Safari: the previews have to do.
    this.#isShowable = job.output?.content_type !== 'image/tiff';
    if (!this.#isShowable) return;
    const { signal } = this.#watch;
    this.#result = persistently(() => getResult(job.id, signal), signal);
    this.#result.then(
      (picture) => {
        if (!signal.aborted) this.#picture = picture;
      },
      (problem) => {
        if (!signal.aborted) showProblem(byId('job-problem', HTMLElement), problem);
      },
    );
  }

  /** @param {Job} job */
  async #paintOn(job) {
    const { signal } = this.#watch;
    const picture = await pictureFile(job, this.#picture);
    if (!signal.aborted) this.#wiring.onPaintOn(picture);
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
    const isWanted = () => !signal.aborted && this.#wanted === moment;
    const picture = await (moment.isResult ? this.#result : this.#preview(moment.step))?.catch((problem) => {
      if (isGone(problem) && !moment.isResult && !signal.aborted) this.#timeline.drop(moment);
    });
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
    fetching.catch(() => {
      if (!signal.aborted) this.#previews.delete(step); // so that it may be asked for again
    });
    return fetching;
  }

  /**
   * Does what a button is for, once at a time, and says what came in between.
   *
   * @param {string} id  of the button
   * @param {(job: Job) => unknown} action
   */
  #onClick(id, action) {
    const button = byId(id, HTMLElement);
    const said = byId('deed-problem', HTMLElement);
    this.#deeds.push(button);
    button.addEventListener('click', async () => {
      if (button.ariaBusy) return;
      button.ariaBusy = 'true'; // not `disabled`: that would take the keyboard's focus away
      const { signal } = this.#watch;
      showProblem(said, null);
      try {
        await action(/** @type {Job} */ (this.#job));
      } catch (problem) {
        if (!signal.aborted) showProblem(said, problem);
      } finally {
        if (!signal.aborted) button.ariaBusy = null; // another job's otherwise
      }
    });
  }
}

/** Whether it is not kept any more. @param {import('./api.js').Problem} problem */
const isGone = ({ status }) => [404, 410].includes(status);

/** @param {[name: string, value: string]} told */
function ingredient([name, value]) {
  const group = document.createElement('div');
  const term = document.createElement('dt');
  term.textContent = name;
  const description = document.createElement('dd');
  description.textContent = value;
  group.append(term, description);
  return group;
}

/**
 * Why something else hangs in the place of the picture.
 *
 * @param {import('./api.js').Output} output
 * @param {boolean} hasPreviews
 */
function unseen({ content_type }, hasPreviews) {
  const reason = content_type === 'image/tiff' ? 'Browsers do not show TIFF' : 'The browser cannot show this picture';
  return `${reason}${hasPreviews ? ': this is the last preview' : ''}. The download is the picture itself.`;
}

/** @param {Moment} moment @param {boolean} isNewest */
const nameOf = ({ step }, isNewest) => (isNewest ? 'The picture so far' : `The picture after step ${step}`);

/** What goes away hands the focus to the title. @param {?Element} focused */
function keepFocus(focused) {
  if (focused?.getClientRects().length === 0) byId('job-title', HTMLElement).focus();
}

/** Tells screen readers which picture it is and what has changed; of the steps, only every quarter. @param {Job} job */
function announce(job) {
  const share = ANNOUNCED_SHARE * Math.floor((job.progress?.fraction ?? 0) / ANNOUNCED_SHARE);
  const done = job.status === 'running' && share > 0 ? `, ${100 * share} % done` : '';
  setText(byId('announcer', HTMLElement), `${jobTitle(job)}: ${stateOnLabel(job)}${done}`);
}

/** What it is at; a finished picture, how long it took. @param {Job} job */
function stateOnLabel(job) {
  const { run_seconds: seconds } = job.metrics;
  return job.status === 'succeeded' && seconds !== null ? `Painted in ${duration(seconds)}` : stateOf(job);
}

/** 'Step 64 of 150, 256 × 192 px, 6.1 steps/s' @param {import('./api.js').Progress} progress */
function stepsOf({ step, total_steps, width_px, height_px, steps_per_second }) {
  const speed = steps_per_second === null ? '' : `, ${number(steps_per_second)} steps/s`;
  return `Step ${step} of ${total_steps}, ${width_px} × ${height_px} px${speed}`;
}
