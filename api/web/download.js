/** Taking a picture home: the file, its manifest, or both. */

import { getManifest, getResult } from './api.js';
import { fileStem } from './format.js';
import { patiently } from './patience.js';
import { zip } from './zip.js';

/** @typedef {import('./api.js').Job} Job */

/** @typedef {'picture' | 'manifest' | 'both'} What */

/**
 * @param {Job} job  that has succeeded
 * @param {What} what
 * @param {?Blob} picture  the finished picture, where it is here already
 */
export async function download(job, what, picture) {
  const stem = fileStem(job);
  const manifestName = `${stem}.json`;
  const manifest = what === 'picture' ? null : await patiently(() => getManifest(job.id));
  if (what === 'manifest') return save(manifest, manifestName);
  const file = await pictureFile(job, picture);
  if (what === 'picture') return save(file, file.name);
  return save(await zip({ [file.name]: file, [manifestName]: manifest }), `${stem}.zip`);
}

/**
 * The finished picture with a name that says what it shows.
 *
 * @param {Job} job  that has succeeded
 * @param {?Blob} picture  if it is here already
 */
export async function pictureFile(job, picture) {
  const { content_type: type } = /** @type {import('./api.js').Output} */ (job.output);
  const blob = picture ?? (await patiently(() => getResult(job.id)));
  return new File([blob], `${fileStem(job)}.${type.split('/')[1]}`, { type });
}

/** Hands a file to whoever looks at the page. @param {Blob} file @param {string} name */
export function save(file, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
