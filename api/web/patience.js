/** Waiting for a service that is busy or away, and knowing when that is of no use. */

import { Problem } from './problem.js';

const FIRST_PAUSE_SECONDS = 0.5;
const MAX_PAUSE_SECONDS = 10;
const ACTION_SECONDS = 20; // how long somebody waits for a button

/** Worth asking again: no answer, too many questions, or trouble on the service's side. @param {unknown} error */
export const isTransient = (error) =>
  error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);

/** Pauses between attempts: longer and longer, and never shorter than the service asks for. */
export class Backoff {
  #seconds = FIRST_PAUSE_SECONDS;

  /** @param {unknown} error  what the last attempt ended with @returns {number} seconds */
  next(error) {
    this.#seconds = Math.min(2 * this.#seconds, MAX_PAUSE_SECONDS);
    return Math.max(this.#seconds, error instanceof Problem ? error.retryAfterSeconds : 0);
  }

  /** An attempt has worked. */
  reset() {
    this.#seconds = FIRST_PAUSE_SECONDS;
  }
}

/**
 * Tries something that may be done twice until it works, or until somebody at a button would rather know
 * why not.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function patiently(attempt, signal) {
  const backoff = new Backoff();
  const giveUpAt = performance.now() + 1000 * ACTION_SECONDS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const pause = backoff.next(error);
      if (!isTransient(error) || performance.now() + 1000 * pause > giveUpAt) throw error;
      await sleep(pause, signal);
      signal?.throwIfAborted();
    }
  }
}

/**
 * Tries until it works or is refused: for what belongs on the page, however long the service is away.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function persistently(attempt, signal) {
  const backoff = new Backoff();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await sleep(backoff.next(error), signal);
      signal?.throwIfAborted();
    }
  }
}

/** @param {number} seconds @param {AbortSignal} [signal]  wakes it early @returns {Promise<void>} */
export function sleep(seconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, 1000 * seconds);
    signal?.addEventListener('abort', wake);
  });
}
