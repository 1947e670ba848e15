/** Following one job until it ends: by its stream of events, or by asking where streams do not come through. */

import { events, getJob } from './api.js';
import { Backoff, isTransient } from './patience.js';

const POLL_SECONDS = 1;
const HIDDEN_POLL_SECONDS = 5;
const RECONNECT_SECONDS = 2;
const OPENING_SECONDS = 5; // the service says something at once: later, some proxy holds the stream back
const DOUBT_SECONDS = 30; // until a stream is tried again after one that did not come through

/** @typedef {import('./api.js').Job} Job */

/** @param {Job} job */
export const isFinished = (job) => !['queued', 'running'].includes(job.status);

/**
 * Yields the job whenever it has changed, until it is finished. Lost answers are waited out, ever more
 * patiently; only a job that is refused (4xx) ends it with a Problem. A stream that is refused or held back
 * is no trouble: the job is asked for instead.
 *
 * A tab that nobody sees asks now and then instead: browsers open only six connections to a service at a
 * time, and the streams of forgotten tabs would take them all.
 *
 * @param {string} id
 * @param {AbortSignal} signal  ends it silently
 * @param {(trouble: ?Error) => void} onTrouble  told when the service does not answer, and null when it does
 * @returns {AsyncGenerator<Job>}
 */
export async function* follow(id, signal, onTrouble) {
  const backoff = new Backoff();
  const stream = new Stream(id);
  let streamsAt = 0;
  while (!signal.aborted) {
    const isStreaming = !document.hidden && performance.now() >= streamsAt;
    let pause = document.hidden ? HIDDEN_POLL_SECONDS : POLL_SECONDS;
    let isHeard = false;
    try {
      for await (const job of isStreaming ? stream.jobs(signal) : polled(id, signal)) {
        if (signal.aborted) return;
        isHeard = true;
        backoff.reset();
        onTrouble(null);
        if (!job) continue;
        yield job;
        if (isFinished(job)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isTransient(error)) throw error;
      if (!isStreaming) {
        onTrouble(error);
        pause = backoff.next(error);
      }
    }
    if (isStreaming) pause = isHeard ? RECONNECT_SECONDS : 0;
    if (isStreaming && !isHeard && !document.hidden) streamsAt = performance.now() + 1000 * DOUBT_SECONDS;
    await pauseOrTurn(pause, signal);
  }
}

/** @param {string} id @param {AbortSignal} signal @returns {AsyncGenerator<Job>} */
async function* polled(id, signal) {
  yield await getJob(id, signal);
}

/** The events of a job, put together to what the job is after each of them. */
class Stream {
  #id;
  /** @type {?Job} */
  #job = null;
  /** @type {?string} */
  #lastEventId = null;

  /** @param {string} id */
  constructor(id) {
    this.#id = id;
  }

  /**
   * Goes on where the last call stopped. Ends with the stream, and when the tab is hidden.
   *
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<?Job>} null when the stream has begun, which is all while nothing is new
   */
  async *jobs(signal) {
    const ending = new AbortController();
    const end = () => ending.abort();
    const timer = setTimeout(end, 1000 * OPENING_SECONDS);
    document.addEventListener('visibilitychange', end);
    try {
      const either = AbortSignal.any([signal, ending.signal]);
      for await (const event of events(this.#id, this.#lastEventId, either)) {
        clearTimeout(timer);
        if (event.type === 'open') {
          yield null;
          continue;
        }
        this.#lastEventId = event.id;
        this.#job = after(this.#job, event);
        yield this.#job;
      }
    } catch (error) {
      if (!ending.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', end);
    }
  }
}

/** @param {?Job} job @param {import('./events.js').StreamEvent} event @returns {?Job} */
function after(job, { type, data }) {
  if (type === 'status' || type === 'completed') return data;
  if (!job) return null; // cannot be: a stream begins with the status
  if (type === 'progress') return { ...job, progress: data };
  if (type === 'preview' && job.progress && !job.progress.previews.includes(data.step))
    return { ...job, progress: { ...job.progress, previews: [...job.progress.previews, data.step] } };
  return job;
}

/** Waits, but not after the tab was hidden or shown. @param {number} seconds @param {AbortSignal} signal */
function pauseOrTurn(seconds, signal) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        document.removeEventListener('visibilitychange', wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, 1000 * seconds);
      document.addEventListener('visibilitychange', wake);
      signal.addEventListener('abort', wake);
    })
  );
}
