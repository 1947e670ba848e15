/** All jobs of the visitor, the newest first: the queue and the history in one. */

import { cancelJob, deleteJob, getJob, listJobs, retryJob } from './api.js';
import { Card } from './card.js';
import { confirm } from './confirm.js';
import { byId, element } from './dom.js';
import { isFinished } from './follow.js';
import { jobTitle } from './format.js';
import { isTransient, patiently } from './patience.js';
import { Problem, showProblem } from './problem.js';
import { presetOf } from './recipe.js';

const PAGE_JOBS = 24;
const MOST_JOBS = 100; // that the service lists at a time
const MOST_UNFINISHED = 1000; // that are listed in a turn
const MOST_QUESTIONS = 20; // about single jobs in a turn
const BUSY_SECONDS = 3;
const IDLE_SECONDS = 15;
const HIDDEN_SECONDS = 30;
const AHEAD = { rootMargin: '50% 0px' }; // pictures are there when somebody scrolls to them
/** @type {import('./api.js').Status[]} */
const UNFINISHED = ['queued', 'running'];

/**
 * @typedef {import('./api.js').Job} Job
 *
 * @typedef {object} Wiring
 * @property {(job: Job) => void} onEnd  a job has ended that had not when it was seen last
 * @property {(job: Job) => void} onReuse  the settings of a job are to be used again
 * @property {(id: string) => void} onDeleted
 */

export class Gallery {
  /** @type {Map<string, Card>} by job id, kept so that pictures are not loaded twice */
  #cards = new Map();
  /** @type {Set<string>} ids of those that had not ended when they were seen last */
  #unfinished = new Set();
  #list = element('gallery');
  #more = element('gallery-more');
  #filter = byId('gallery-filter', HTMLFormElement);
  #problem = element('gallery-problem');
  #timer = 0;
  #refreshedAt = -Infinity;
  /** @type {?string} where the next page begins */
  #cursor = null;
  /** How many pages hang. */
  #pages = 1;
  /** Counts what was asked for: an answer to an older question is not used. */
  #question = 0;
  /** Of the page that is on its way. */
  #older = new AbortController();
  /** Once they are known. @type {import('./api.js').Preset[]} */
  #presets = [];
  /** @type {?string} id of the job on the easel */
  #current = null;
  #wiring;
  #sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const card = this.#cards.get(/** @type {HTMLElement} */ (target).dataset.job ?? '');
      if (card) card.isSeen = isIntersecting;
    }
  }, AHEAD);

  /** @param {Wiring} wiring */
  constructor(wiring) {
    this.#wiring = wiring;
    this.#more.addEventListener('click', () => this.#showMore());
    this.#filter.addEventListener('change', () => this.#restart());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.refresh();
    });
  }

  /** Reads the newest jobs again, and keeps reading: more often while something is being painted. */
  async refresh() {
    await this.#read(async (isCurrent) => {
      const page = await listJobs({ status: this.#statuses, limit: Math.min(this.#pages * PAGE_JOBS, MOST_JOBS) });
      if (isCurrent()) this.#hang(page);
      this.#refreshedAt = performance.now();
    });
  }

  /** Brings one card up to date without asking again. @param {Job} job */
  update(job) {
    const card = this.#cards.get(job.id);
    if (card && isFinished(card.job) && !isFinished(job)) return; // an answer that was overtaken by another
    this.#note(job);
    card?.update(job);
  }

  /** Marks the card of the job that is on the easel. @param {?string} id */
  setCurrent(id) {
    this.#current = id;
    for (const [cardId, card] of this.#cards) card.setCurrent(cardId === id);
  }

  /** From now on, cards say how pictures are painted. @param {import('./api.js').Preset[]} presets */
  setPresets(presets) {
    this.#presets = presets;
    for (const card of this.#cards.values()) card.update(card.job);
  }

  /** A job that hangs here. @param {string} id @returns {?Job} */
  jobOf(id) {
    return this.#cards.get(id)?.job ?? null;
  }

  /** The job beside the one on the easel. @param {1 | -1} direction  1 is older @returns {?string} id */
  beside(direction) {
    const ids = [...this.#cards.keys()];
    const at = this.#current === null ? -1 : ids.indexOf(this.#current);
    return ids[at + direction] ?? null;
  }

  /** Removes a job for good, if the visitor means it. @param {Job} job @returns {Promise<boolean>} whether it did */
  async remove(job) {
    const question = `Delete ‘${jobTitle(job)}’?`;
    if (!(await confirm(question, 'The picture, its previews and its manifest are removed for good.', 'Delete')))
      return false;
    await deleteJob(job.id);
    this.#takeDown(job.id);
    this.#wiring.onDeleted(job.id);
    this.refresh();
    return true;
  }

  get #statuses() {
    const chosen = String(new FormData(this.#filter).get('status') ?? '');
    return /** @type {import('./api.js').Status[]} */ (chosen === '' ? [] : chosen.split(','));
  }

  /** @param {(isCurrent: () => boolean) => Promise<void>} read */
  async #read(read) {
    clearTimeout(this.#timer);
    const question = (this.#question += 1);
    try {
      await read(() => question === this.#question);
    } catch (error) {
      // What hangs stays; the line about the workers says that the service is away.
      if (!(error instanceof Problem)) throw error;
    } finally {
      if (question === this.#question) this.#timer = setTimeout(() => this.#turn(), 1000 * this.#pause);
    }
  }

  get #pause() {
    if (document.hidden) return HIDDEN_SECONDS;
    return this.#unfinished.size > 0 ? BUSY_SECONDS : IDLE_SECONDS;
  }

  /** Looks after what has not ended; now and then after all. */
  #turn() {
    const isDue = performance.now() - this.#refreshedAt > 1000 * IDLE_SECONDS;
    if (isDue || this.#unfinished.size === 0) this.refresh();
    else this.#read((isCurrent) => this.#readUnfinished(isCurrent));
  }

  /** @param {() => boolean} isCurrent */
  async #readUnfinished(isCurrent) {
    const left = new Set(this.#unfinished);
    const jobs = [];
    let cursor = null;
    do {
      const page = await listJobs({ status: UNFINISHED, limit: MOST_JOBS, cursor });
      for (const { id } of page.jobs) left.delete(id);
      jobs.push(...page.jobs);
      cursor = page.next_cursor;
    } while (cursor && left.size > 0 && jobs.length < MOST_UNFINISHED);
    const asked = [...left].slice(0, MOST_QUESTIONS);
    const rest = await Promise.all(asked.map(lookUp));
    if (!isCurrent()) return;
    const hasEnded = rest.some((job) => job === null || (job && isFinished(job)));
    const isNews = hasEnded || jobs.some(({ id }) => !this.#unfinished.has(id));
    if (isNews) this.#refreshedAt = -Infinity;
    asked.forEach((id, index) => {
      const job = rest[index];
      if (job) this.update(job);
      else if (job === null) this.#unfinished.delete(id);
    });
    for (const job of jobs) this.update(job);
  }

  /** Remembers which jobs have not ended, and tells of those that have. @param {Job} job */
  #note(job) {
    if (!isFinished(job)) this.#unfinished.add(job.id);
    else if (this.#unfinished.delete(job.id)) this.#wiring.onEnd(job);
  }

  /** What belongs on the wall, or the newest of it, as it is now. @param {import('./api.js').JobPage} page */
  #hang({ jobs, next_cursor }) {
    const isAll = next_cursor === null || this.#pages * PAGE_JOBS <= MOST_JOBS;
    const listed = new Set(jobs.map(({ id }) => id));
    const last = jobs.at(-1)?.id ?? '';
    // Ids begin with the time of their making. What is newer than the last of the list belongs to it.
    for (const id of this.#cards.keys()) if (!listed.has(id) && (isAll || id > last)) this.#takeDown(id);
    if (isAll) this.#cursor = next_cursor;
    this.#add(jobs);
    element('gallery-empty').hidden = this.#cards.size > 0 || this.#statuses.length > 0;
    element('gallery-none').hidden = this.#cards.size > 0 || this.#statuses.length === 0;
  }

  /** @param {Job[]} jobs */
  #add(jobs) {
    for (const job of jobs) {
      if (this.#cards.has(job.id)) {
        this.update(job);
        continue;
      }
      this.#note(job);
      const card = new Card(job, (each) => presetOf(each, this.#presets), (deed, which) => this.#do(deed, which));
      card.element.dataset.job = job.id;
      this.#cards.set(job.id, card);
      this.#sight.observe(card.element);
    }
    this.#cards = new Map([...this.#cards].sort(([one], [other]) => (one < other ? 1 : -1)));
    this.#order();
    this.#more.hidden = this.#cursor === null;
    this.setCurrent(this.#current);
  }

  /** Brings the cards into their order without touching those that are in it: one may have the focus. */
  #order() {
    let place = this.#list.firstElementChild;
    for (const { element: item } of this.#cards.values()) {
      if (item === place) place = place.nextElementSibling;
      else this.#list.insertBefore(item, place);
    }
  }

  /** @param {string} id */
  #takeDown(id) {
    const card = this.#cards.get(id);
    if (!card) return;
    if (card.element.contains(document.activeElement)) this.#heir(id)?.focus();
    this.#sight.unobserve(card.element);
    card.element.remove();
    this.#cards.delete(id);
  }

  /** Who gets the focus of a card that is taken down. @param {string} id */
  #heir(id) {
    const ids = [...this.#cards.keys()];
    const at = ids.indexOf(id);
    return this.#cards.get(ids[at + 1] ?? ids[at - 1]);
  }

  async #showMore() {
    this.#older.abort(); // who presses twice wants one page
    this.#older = new AbortController();
    const { signal } = this.#older;
    const which = { status: this.#statuses, limit: PAGE_JOBS, cursor: this.#cursor, signal };
    showProblem(this.#problem, null);
    try {
      const { jobs, next_cursor } = await patiently(() => listJobs(which), signal);
      this.#pages += 1;
      this.#cursor = next_cursor;
      this.#add(jobs);
      this.#cards.get(jobs[0]?.id)?.focus();
      this.refresh(); // an answer that is on its way knows of fewer pages
    } catch (problem) {
      if (!signal.aborted) showProblem(this.#problem, problem);
    }
  }

  /** Begins anew: others are to hang now. */
  #restart() {
    for (const id of this.#cards.keys()) this.#takeDown(id);
    this.#older.abort();
    this.#pages = 1;
    this.#cursor = null;
    this.refresh();
  }

  /** @param {import('./card.js').Deed} deed @param {Card} card */
  async #do(deed, card) {
    const { job } = card;
    showProblem(this.#problem, null);
    try {
      if (deed === 'reuse') this.#wiring.onReuse(job);
      if (deed === 'cancel') this.update(await cancelJob(job.id));
      if (deed === 'retry') {
        this.update(await retryJob(job.id));
        this.refresh();
      }
      if (deed === 'delete') await this.remove(job);
    } catch (problem) {
      showProblem(this.#problem, problem);
    }
  }
}

/** A job; null if it is there no more, and undefined if that is not known now. @param {string} id */
const lookUp = (id) => getJob(id).catch((problem) => (isTransient(problem) ? undefined : null));
