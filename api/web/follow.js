/** Watching one job until it ends. */

import { getJob, Problem } from './api.js';

const POLL_SECONDS = 0.5;
const MAX_BACKOFF_SECONDS = 10;

/** @param {import('./api.js').Job} job */
export const isFinished = (job) => !['queued', 'running'].includes(job.status);

/**
 * Yields the job about twice a second until it is finished. Lost answers are waited out, ever more
 * patiently, and `Retry-After` is honoured; only a job that is refused (4xx) ends it with a Problem.
 *
 * @param {string} id
 * @param {AbortSignal} signal  ends the watch silently
 * @returns {AsyncGenerator<import('./api.js').Job>}
 */
export async function* follow(id, signal) {
  let backoff = POLL_SECONDS;
  while (!signal.aborted) {
    let pause = POLL_SECONDS;
    try {
      const job = await getJob(id, signal);
      if (signal.aborted) return;
      yield job;
      if (isFinished(job)) return;
      backoff = POLL_SECONDS;
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (!isTransient(error)) throw error;
      backoff = Math.min(2 * backoff, MAX_BACKOFF_SECONDS);
      pause = Math.max(backoff, error.retryAfterSeconds);
    }
    await sleep(pause, signal);
  }
}

/** Worth asking again: no answer, too many questions, or trouble on the service's side. */
const isTransient = (error) =>
  error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);

/** @param {number} seconds @param {AbortSignal} signal  wakes it early */
function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
