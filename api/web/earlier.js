/** The pictures of an earlier job, as far as they can be had again. */

import { getInput } from './api.js';
import { Mask } from './mask.js';
import { persistently } from './patience.js';
import { readPicture } from './pictures.js';
import { namesOf } from './request.js';

/**
 * @typedef {import('./pictures.js').Picture} Picture
 *
 * @typedef {object} Earlier
 * @property {?Picture} content
 * @property {?Picture} beginning
 * @property {Picture[]} styles
 * @property {boolean} hasAllStyles  otherwise their shares would go to the wrong ones
 * @property {Mask[]} masks        of all styles, or none
 * @property {Blob[]} maskFiles    what they were read from
 * @property {string} lack         sentences about what cannot be had
 */

/** @param {import('./api.js').Job} job @param {AbortSignal} signal @returns {Promise<Earlier>} */
export async function fetchEarlier(job, signal) {
  const { id, inputs } = job;
  const names = namesOf(job);
  /** @type {string[]} */
  const missing = [];
  const fetched = async (sha256, name) => {
    const file = sha256 && (await fetchInput(id, sha256, name, signal));
    if (sha256 && !file) missing.push(name);
    return file || null;
  };
  const [content, beginning, ...styles] = await Promise.all([
    fetched(inputs.content, names.content),
    fetched(inputs.init, names.init),
    ...inputs.styles.map((sha256, index) => fetched(sha256, names.styles[index])),
  ]);
  const maskFiles = await Promise.all(inputs.masks.map((sha256, index) => fetched(sha256, names.masks[index])));
  const masks = await masksOf(maskFiles.filter(Boolean));
  const hasAllStyles = styles.every(Boolean);
  const hasAllMasks = hasAllStyles && maskFiles.every(Boolean) && masks.length === maskFiles.length;
  const gone = missing.map((name) => `‘${name}’`).join(', ');
  const lack = [
    gone && `Not kept any more: ${gone}. Choose them again.`,
    masks.length < maskFiles.filter(Boolean).length && 'Browsers do not show its masks: paint them again.',
  ];
  return {
    content: await pictureOf(content),
    beginning: await pictureOf(beginning),
    styles: await Promise.all(styles.filter(Boolean).map(pictureOf)),
    hasAllStyles,
    masks: hasAllMasks ? masks : [],
    maskFiles: hasAllMasks ? maskFiles : [],
    lack: lack.filter(Boolean).join(' '),
  };
}

/** None if one of them is of a kind that browsers do not show. @param {File[]} files @returns {Promise<Mask[]>} */
async function masksOf(files) {
  try {
    return await Promise.all(files.map((file) => Mask.from(file)));
  } catch {
    return [];
  }
}

/** An image of an earlier job, or null when it is not kept any more. @returns {Promise<?File>} */
async function fetchInput(jobId, sha256, name, signal) {
  try {
    const blob = await persistently(() => getInput(jobId, sha256, signal), signal);
    return new File([blob], name, { type: blob.type });
  } catch (problem) {
    if (problem.status === 404 || problem.status === 410) return null;
    throw problem;
  }
}

/** @param {?File} file @returns {Promise<?Picture>} */
const pictureOf = (file) => file && readPicture(file, {}); // it was taken once: no limits
