/** What a job was made from, told so that it can be made again. */

import { Sheet } from './parameters.js';

/** @typedef {import('./api.js').Job} Job */

/** What a request calls the mask of a painting. @param {number} index  of the painting */
export const maskName = (index) => `mask-${index + 1}.png`;

/**
 * What the pictures of a job were called, as far as it was told.
 *
 * @param {Pick<Job, 'inputs' | 'metadata'>} job
 * @returns {{content: ?string, styles: string[], masks: string[], init: ?string}} null where it has no such picture
 */
export function namesOf({ inputs, metadata }) {
  const { content_name: content, style_names: styles } = metadata;
  const known = Array.isArray(styles) ? styles : [];
  return {
    content: inputs.content && nameOr(content, 'photograph'),
    styles: inputs.styles.map((_, index) => nameOr(known[index], `painting ${index + 1}`)),
    masks: inputs.masks.map((_, index) => maskName(index)),
    init: inputs.init && 'beginning',
  };
}

/**
 * The request that makes the same job, with files of those names.
 *
 * @param {Job} job
 * @param {import('./api.js').Catalog} catalog  tells which parameters need not be named
 * @returns {Omit<import('./snippets.js').Request, 'url' | 'hasKey'>}
 */
export function requestOf(job, { presets, parameters_schema: schema }) {
  const { params, metadata, priority } = job;
  const sheet = new Sheet();
  sheet.setCatalog(presets, schema);
  sheet.fill(params);
  return { ...namesOf(job), params: sheet.has(params.preset) ? sheet.toJSON() : params, metadata, priority };
}

/** @param {unknown} name @param {string} other */
const nameOr = (name, other) => (typeof name === 'string' && name ? name : other);
