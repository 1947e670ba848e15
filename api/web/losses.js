/** The losses of a job over its steps. */

/** What is drawn and told, the sum first. */
export const NAMES = /** @type {const} */ (['total', 'style', 'content', 'tv']);

/**
 * @typedef {object} Point
 * @property {number} step
 * @property {?number} level  of the pyramid; null where it is not known
 * @property {number} total
 * @property {number} style
 * @property {number} content
 * @property {number} tv
 */

/**
 * The points with the newest, if it is new.
 *
 * @param {Point[]} points  in the order of their steps
 * @param {?import('./api.js').Progress} progress
 * @returns {Point[]}
 */
export function withNewest(points, progress) {
  if (!progress?.losses || points.at(-1)?.step === progress.step) return points;
  const { step, level, losses } = progress;
  // A job that goes on from a checkpoint does some steps again.
  return [...points.filter((point) => point.step < step), { step, level, ...losses }];
}

/**
 * What the service has kept, and what came after it.
 *
 * @param {import('./api.js').LossCurve} curve
 * @param {Point[]} points  that this page has seen itself
 * @returns {Point[]}
 */
export function withKept({ step: steps, total, style, content, tv }, points) {
  const levels = new Map(points.map((point) => [point.step, point.level]));
  const kept = steps.map((step, at) => ({
    step,
    level: levels.get(step) ?? null,
    total: total[at],
    style: style[at],
    content: content[at],
    tv: tv[at],
  }));
  const last = steps.at(-1) ?? -1;
  return [...kept, ...points.filter((point) => point.step > last)];
}
