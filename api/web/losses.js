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
 * What the service has kept, and what this page has seen itself besides.
 *
 * @param {import('./api.js').LossCurve} curve
 * @param {Point[]} points
 * @returns {Point[]}
 */
export function withKept({ step: steps, total, style, content, tv }, points) {
  const all = new Map(points.map((point) => [point.step, point]));
  steps.forEach((step, at) => {
    const level = all.get(step)?.level ?? null;
    all.set(step, { step, level, total: total[at], style: style[at], content: content[at], tv: tv[at] });
  });
  return [...all.values()].sort((one, other) => one.step - other.step);
}
