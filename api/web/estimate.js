/** What a picture would take, said before anybody waits for it. */

import { estimate } from './api.js';
import { element, setText } from './dom.js';
import { bytes, roughly } from './format.js';

const PATIENCE_MS = 400; // after the last change
const EVERY_MS = 30_000; // while it is others that it depends on; the service counts each question as a job

export class EstimateLine {
  #line = element('estimate');
  #timer = 0;
  #asking = new AbortController();
  /** @type {?Question} */
  #question = null;
  #isInSight = false;

  constructor() {
    document.addEventListener('visibilitychange', () => this.#again());
    const sight = new IntersectionObserver((entries) => {
      this.#isInSight = entries.at(-1).isIntersecting;
      this.#again();
    });
    sight.observe(this.#line);
  }

  /**
   * Asks, a little later, and again when somebody looks. Where the service cannot say, the line stays empty:
   * posting tells.
   *
   * @param {?Question} question  null while something is missing
   */
  ask(question) {
    if (JSON.stringify(question) === JSON.stringify(this.#question)) return;
    this.#question = question;
    this.#asking.abort();
    clearTimeout(this.#timer);
    if (!question) return this.#say('');
    this.#line.classList.add('stale');
    this.#timer = setTimeout(() => this.#answer(), PATIENCE_MS);
  }

  /** What was answered may be out of date. */
  #again() {
    if (!this.#question || this.#line.classList.contains('stale')) return; // it is being asked
    clearTimeout(this.#timer);
    if (this.#isInSight && !document.hidden) this.#answer();
  }

  async #answer() {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const { body, isInTurn } = this.#question;
    try {
      const answer = await estimate(body, signal);
      this.#say(words(answer, isInTurn), cannotBePainted(answer));
      if (dependsOnOthers(answer, isInTurn)) this.#timer = setTimeout(() => this.#again(), EVERY_MS);
    } catch (problem) {
      if (signal.aborted) return;
      // What is wrong with the parameters is worth knowing now; that nobody answers, is not.
      this.#say(problem.status === 422 ? problem.message : '', problem.status === 422);
    }
  }

  /** @param {string} text @param {boolean} [warns] */
  #say(text, warns = false) {
    this.#line.classList.remove('stale');
    this.#line.classList.toggle('warns', warns);
    setText(this.#line, text); // it is read aloud when it changes
  }
}

/**
 * @typedef {object} Question
 * @property {object} body        as `POST /v1/estimate` takes it
 * @property {boolean} isInTurn   whether it would wait for all that wait now
 */

/**
 * Whether workers that come, or find out how fast they are, or jobs that end, would change it.
 *
 * @param {import('./api.js').Estimate} answer
 * @param {boolean} isInTurn
 */
const dependsOnOthers = ({ seconds, waiting_jobs }, isInTurn) =>
  seconds === null || (isInTurn && waiting_jobs > 0);

/** Whether no worker that is up has the memory. @param {import('./api.js').Estimate} answer */
const cannotBePainted = ({ workers, able }) => workers > 0 && able === 0;

/**
 * 'About 40 s on 2 workers. 3 jobs wait before it. 768 × 576 px, 500 steps.'
 *
 * @param {import('./api.js').Estimate} answer
 * @param {boolean} isInTurn  otherwise nobody knows how many wait before it
 */
function words(answer, isInTurn) {
  const { steps, width_px, height_px, memory_bytes, seconds, workers, able, waiting_jobs } = answer;
  const size = `${width_px} × ${height_px} px`;
  if (cannotBePainted(answer))
    return `${size} take ${bytes(memory_bytes)} of memory, and no worker that is up has that much: choose a smaller size.`;
  const measure = `${size}, ${steps.toLocaleString('en')} steps.`;
  if (workers === 0) return `Nobody is up to paint it: it would wait in line. ${measure}`;
  const some = `; ${able} of ${workers} workers ${able === 1 ? 'has' : 'have'} the memory`;
  const where = able < workers ? some : ` on ${count(workers, 'worker')}`;
  const queue = `${count(waiting_jobs, 'job')} ${waiting_jobs === 1 ? 'waits' : 'wait'} before it.`;
  const parts = [seconds && `About ${span(seconds)}${where}.`, isInTurn && waiting_jobs > 0 && queue, measure];
  return parts.filter(Boolean).join(' ');
}

/** '40 s', '20 s to 2 min' */
function span({ low, high }) {
  const [least, most] = [roughly(low), roughly(high)];
  return least === most ? least : `${least} to ${most}`;
}

const count = (many, noun) => `${many.toLocaleString('en')} ${noun}${many === 1 ? '' : 's'}`;
