/** One line that says who is there to paint. */

import { listWorkers } from './api.js';
import { setText } from './dom.js';

const REFRESH_SECONDS = 10;
const AWAY_SECONDS = 3;
let timer = 0;

/** Keeps the line up to date. @param {HTMLElement} line */
export async function watchWorkers(line) {
  clearTimeout(timer);
  let pause = REFRESH_SECONDS;
  try {
    const workers = await listWorkers();
    setText(line, lineOf(workers));
    line.dataset.level = workers.length > 0 ? 'good' : 'none';
  } catch (problem) {
    setText(line, problem.message);
    line.dataset.level = 'away';
    pause = Math.max(AWAY_SECONDS, problem.retryAfterSeconds ?? 0);
  }
  clearTimeout(timer);
  timer = setTimeout(() => watchWorkers(line), 1000 * pause);
}

/** @param {import('./api.js').Worker[]} workers */
function lineOf(workers) {
  if (workers.length === 0)
    return 'No worker is up: pictures wait in line until one is started with ‘impasto worker’.';
  const busy = workers.filter((worker) => worker.busy).length;
  if (workers.length === 1) return `One worker is ${busy ? 'painting' : 'free'}`;
  return `${workers.length} workers, ${busy || 'none'} painting`;
}
