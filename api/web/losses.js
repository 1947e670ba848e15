/**
 * The losses of jobs as this browser has seen them, kept over a reload: the service tells only the newest.
 */

const PREFIX = 'impasto.losses.';
const MAX_POINTS = 400;
const MAX_JOBS = 40;
const SAVE_SECONDS = 2;
export const NAMES = /** @type {const} */ (['total', 'style', 'content', 'tv']);

/** @typedef {{step: number, level: number, total: number, style: number, content: number, tv: number}} Point */

/** @type {Map<string, Point[]>} */
const known = new Map();
/** @type {Map<string, number>} when each was written last, ms */
const savedAt = new Map();

/** The points of a job in the order of their steps. @param {string} id @returns {Point[]} */
export function lossesOf(id) {
  if (!known.has(id)) known.set(id, load(id));
  return known.get(id) ?? [];
}

/** Takes note of the progress of a job. @param {import('./api.js').Job} job */
export function noteLosses({ id, status, progress }) {
  if (!progress?.losses) return;
  const { step, level, losses } = progress;
  let points = lossesOf(id);
  if (points.at(-1)?.step === step) return;
  // A job that goes on from a checkpoint does some steps again.
  points = points.filter((point) => point.step < step);
  points.push({ step, level, ...losses });
  if (points.length > MAX_POINTS) points = points.filter((_, index) => index % 2 === points.length % 2);
  known.set(id, points);
  const now = performance.now();
  if (status === 'running' && now - (savedAt.get(id) ?? -Infinity) < 1000 * SAVE_SECONDS) return;
  savedAt.set(id, now);
  save(id, points);
}

/** @param {string} id  of a job that was deleted */
export function forgetLosses(id) {
  known.delete(id);
  try {
    localStorage.removeItem(PREFIX + id);
  } catch {
    // Storage is switched off: there is nothing to forget.
  }
}

/** @param {string} id @returns {Point[]} */
function load(id) {
  try {
    /** @type {number[][]} */
    const rows = JSON.parse(localStorage.getItem(PREFIX + id) ?? '[]');
    return rows.map(([step, level, total, style, content, tv]) => ({ step, level, total, style, content, tv }));
  } catch {
    return [];
  }
}

/** @param {string} id @param {Point[]} points */
function save(id, points) {
  const rows = points.map(({ step, level, total, style, content, tv }) => [step, level, total, style, content, tv]);
  try {
    localStorage.setItem(PREFIX + id, JSON.stringify(rows));
    // Ids begin with the time of their making: the first are the oldest.
    const stored = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).sort();
    for (const old of stored.slice(0, -MAX_JOBS)) localStorage.removeItem(old);
  } catch {
    // Storage is full or switched off: the curve begins anew after a reload.
  }
}
