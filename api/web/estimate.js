/** What a picture would take, said before anybody waits for it. */

import { estimate } from './api.js';
import { byId } from './dom.js';
import { bytes } from './pictures.js';

const PATIENCE_MS = 400; // after the last change

export class EstimateLine {
  #line = byId('estimate', HTMLElement);
  #timer = 0;
  #question = new AbortController();
  #asked = '';

  /**
   * Asks again, a little later. Where the service cannot say, the line stays empty: posting tells.
   *
   * @param {?object} body  as `POST /v1/estimate` takes it; null while something is missing
   */
  ask(body) {
    const question = JSON.stringify(body);
    if (question === this.#asked) return;
    this.#asked = question;
    clearTimeout(this.#timer);
    this.#question.abort();
    if (!body) return this.#say('');
    this.#line.classList.add('stale');
    this.#timer = setTimeout(() => this.#answer(body), PATIENCE_MS);
  }

  async #answer(body) {
    this.#question = new AbortController();
    const { signal } = this.#question;
    try {
      const answer = await estimate(body, signal);
      this.#say(sentence(answer), cannotBePainted(answer));
    } catch (problem) {
      if (signal.aborted) return;
      this.#asked = ''; // the next change asks again, even one back
      // What is wrong with the parameters is worth knowing now; that nobody answers, is not.
      this.#say(problem.status === 422 ? problem.message : '', problem.status === 422);
    }
  }

  /** @param {string} text @param {boolean} [warns] */
  #say(text, warns = false) {
    this.#line.classList.remove('stale');
    this.#line.classList.toggle('warns', warns);
    if (this.#line.textContent !== text) this.#line.textContent = text; // it is read aloud when it changes
  }
}

/** Whether no worker that is up has the memory. @param {import('./api.js').Estimate} answer */
const cannotBePainted = ({ workers, able }) => workers > 0 && able === 0;

/**
 * 'About 40 s on 2 workers. 3 jobs wait before it. 768 × 576 px, 500 steps.'
 *
 * @param {import('./api.js').Estimate} answer
 */
export function sentence(answer) {
  const { steps, width_px, height_px, memory_bytes, seconds, workers, able, waiting_jobs } = answer;
  const size = `${width_px} × ${height_px} px`;
  if (cannotBePainted(answer))
    return `${size} take ${bytes(memory_bytes)} of memory, and no worker that is up has that much: choose a smaller size.`;
  const measure = `${size}, ${steps.toLocaleString('en')} steps.`;
  if (workers === 0) return `Nobody is up to paint it: it would wait in line. ${measure}`;
  const where = able < workers ? `${able} of ${workers} workers has the memory` : `on ${count(workers, 'worker')}`;
  const time = seconds ? `About ${span(seconds)}${able < workers ? '; ' : ' '}${where}.` : '';
  const queue = waiting_jobs > 0 ? ` ${count(waiting_jobs, 'job')} ${waiting_jobs === 1 ? 'waits' : 'wait'} before it.` : '';
  return `${time}${queue} ${measure}`.trim();
}

/** '40 s', '20 s to 2 min': it is an estimate, so no more exact than that. */
function span({ low, high }) {
  const [least, most] = [roughly(low), roughly(high)];
  return least === most ? least : `${least} to ${most}`;
}

/** @param {number} seconds */
function roughly(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(Number(seconds.toPrecision(seconds < 10 ? 1 : 2))))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

const count = (many, noun) => `${many.toLocaleString('en')} ${noun}${many === 1 ? '' : 's'}`;
