/** How a picture is painted, in words: its manner, and what is unlike it. Pure functions: no DOM, no network. */

import { number, title } from './format.js';
import { DECIDED_BY, isEqual, MERGED } from './parameters.js';

/** @typedef {[name: string, value: string]} Line */

/** What the title's second line says: the medium. */
const IN_MEDIUM = ['optimizer', 'steps', 'size'];
/** Names that the form has for them. @type {Record<string, string>} */
const NAMES = {
  style_weight: 'Strength',
  style_scale: 'Strokes',
  style_weights: 'Shares',
  color: 'Colours',
  quality: 'Patience',
  init: 'Begun with',
  aspect_ratio: 'Width over height',
  mask_feather: 'Borders of the masks',
  'output.format': 'File',
};
/** @type {Record<string, Record<string, string>>} */
const VALUES = {
  color: { style: 'the painting’s', match: 'in between', luminance: 'the photograph’s' },
  init: {
    content: 'the photograph',
    gray: 'an empty canvas',
    style: 'noise in the painting’s colours',
    image: 'another picture',
  },
};

/**
 * The preset of a job, if it is known.
 *
 * @param {Pick<import('./api.js').Job, 'params'>} job
 * @param {import('./api.js').Preset[]} presets
 */
export const presetOf = ({ params }, presets) => presets.find(({ name }) => name === params.preset);

/**
 * Parameters that neither the page nor the preset knows are told as they are called.
 *
 * @param {Pick<import('./api.js').Job, 'params' | 'inputs'>} job
 * @param {import('./api.js').Preset} [preset]  its own, if it is known
 * @returns {Line[]}
 */
export function recipe({ params, inputs }, preset) {
  const { preset: manner, ...asked } = params;
  const given = flat(asked);
  const wholes = preset?.parameters ?? asked;
  const usual = { ...wholes, ...flat(wholes) };
  const isUnlike = (/** @type {string} */ name) => !isEqual(given[name] ?? null, usual[name] ?? null);
  // The number of steps has its place already.
  const follows = (/** @type {string} */ name) => name.endsWith('.steps') && DECIDED_BY[name]?.some(isUnlike);
  const told = Object.keys(given).filter((name) => isUnlike(name) && !IN_MEDIUM.includes(name) && !follows(name));
  return [
    ['Manner', title(String(manner ?? 'unknown'))],
    ...told.map((name) => /** @type {Line} */ ([nameOf(name), valueOf(name, given[name], usual[name])])),
    .../** @type {Line[]} */ (inputs.masks.length > 0 ? [['Masks', String(inputs.masks.length)]] : []),
  ];
}

/** The same in a line: 'Neural style, strength 2.5×, seed 7'. @param {Line[]} lines */
export function inShort([[, manner], ...unlike]) {
  const pairs = unlike.map(([name, value]) => `${name.charAt(0).toLowerCase()}${name.slice(1)} ${value}`);
  return [manner, ...pairs].join(', ');
}

/** Parts of a parameter with a dot: `pyramid.min_size`. @param {Record<string, any>} params */
function flat(params) {
  return Object.fromEntries(
    Object.entries(params).flatMap(([name, value]) => {
      if (!MERGED.includes(name) || !value) return [[name, value]];
      return Object.entries(value).map(([part, inner]) => [`${name}.${part}`, inner]);
    }),
  );
}

/** @param {string} name */
const nameOf = (name) => NAMES[name] ?? title(name.replace('.', ' '));

/** @param {string} name @param {any} value @param {any} usual */
function valueOf(name, value, usual) {
  if (name === 'style_weight' && usual > 0) return `${number(value / usual)}×`;
  if (name === 'style_scale') return `${number(value)}×`;
  if (name === 'style_weights' && Array.isArray(value)) return shares(value);
  if (name === 'output.format') return String(value).toUpperCase();
  return VALUES[name]?.[value] ?? words(value);
}

/** @param {number[]} weights */
function shares(weights) {
  const whole = weights.reduce((sum, weight) => sum + weight, 0) || 1;
  return weights.map((weight) => `${Math.round((100 * weight) / whole)} %`).join(' and ');
}

/** A JSON value. @param {any} value @returns {string} */
function words(value) {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map(words).join(', ');
  if (typeof value === 'object')
    return Object.entries(value).map(([key, inner]) => `${key} ${words(inner)}`).join(', ');
  // A browser cannot hold all digits of a large seed.
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? `about ${number(value)}` : String(value);
}
