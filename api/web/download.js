/** Taking a picture home: the file, its manifest, or both. */

import { getManifest, getResult } from './api.js';
import { fileStem } from './format.js';
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
  const pictureName = `${stem}.${/** @type {import('./api.js').Output} */ (job.output).content_type.split('/')[1]}`;
  const manifestName = `${stem}.json`;
  if (what === 'picture') return save(picture ?? (await getResult(job.id)), pictureName);
  const manifest = await getManifest(job.id);
  if (what === 'manifest') return save(manifest, manifestName);
  const files = { [pictureName]: picture ?? (await getResult(job.id)), [manifestName]: manifest };
  return save(await zip(files), `${stem}.zip`);
}

/** @param {Blob} file @param {string} name */
function save(file, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
