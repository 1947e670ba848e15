/** Picture files on their way into the form: found, looked at, measured, made small. */

import { bytes, number } from './format.js';
import { tiffSize } from './tiff.js';

/**
 * @typedef {object} Limits  what the service takes; it need not say
 * @property {number} [max_image_bytes]
 * @property {number} [max_image_pixels]
 * @property {number} [min_side_px]
 * @property {number} [max_side_px]
 * @property {number} [max_aspect_ratio]
 * @property {number} [max_styles]
 * @property {number} [max_size_px]
 *
 * @typedef {object} Picture
 * @property {File} file          unchanged, as it is posted
 * @property {number} width       px, upright; 0 where the browser cannot read the file
 * @property {number} height
 * @property {?Blob} thumbnail    upright; null where the browser cannot show the file
 */

const THUMBNAIL_PX = 1024; // a picture on the wall is about half as tall, and screens have two pixels to one
const MAX_FOLDER_FILES = 200;
const HEAD_BYTES = 12;
const KINDS = 'JPEG, PNG, WebP and TIFF are';

/** What each kind of file that the service reads begins with. */
const SIGNATURES = {
  jpeg: /^\xff\xd8\xff/,
  png: /^\x89PNG\r\n/,
  webp: /^RIFF[^]{4}WEBP/,
  tiff: /^(II[*+]\0|MM\0[*+])/,
};

/** Whether a drop or a paste brings files. @param {?DataTransfer} transfer */
export const holdsFiles = (transfer) => Boolean(transfer?.types.includes('Files'));

/**
 * The files of a drop or a paste, those in folders too. To be called in the event itself: the browser
 * forgets them after it.
 *
 * @param {?DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
export async function picturesOf(transfer) {
  const items = [...(transfer?.items ?? [])].filter(({ kind }) => kind === 'file');
  const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = [];
  for (const { entry, file } of dropped) {
    if (entry?.isDirectory) found.push(...(await picturesIn(/** @type {FileSystemDirectoryEntry} */ (entry))));
    else if (file) found.push(file);
  }
  return found;
}

/**
 * Looks at a file before it is posted.
 *
 * @param {File} file
 * @param {Limits} limits
 * @returns {Promise<Picture>}
 * @throws {Error} with a sentence for the person at the page
 */
export async function readPicture(file, limits) {
  const name = `‘${file.name}’`;
  if (file.size === 0) throw new Error(`${name} is empty.`);
  const kind = await kindOf(file);
  if (!kind) throw new Error(`${name} is not a picture of a kind that is read here: ${KINDS}.`);
  if (file.size > limits.max_image_bytes)
    throw new Error(`${name} has ${bytes(file.size)}: at most ${bytes(limits.max_image_bytes)} are taken.`);
  const picture = kind === 'tiff' ? await readTiff(file) : await readShown(file);
  checkSize(name, picture, limits);
  return picture;
}

/** '1024 × 768 px, 262 kB' @param {Picture} picture */
export const measures = ({ file, width, height }) =>
  (width ? `${width} × ${height} px, ` : '') + bytes(file.size);

/**
 * A folder's pictures by name; what else lies in it is passed over.
 *
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<File[]>}
 */
async function picturesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) break;
    for (const entry of entries) {
      if (found.length >= MAX_FOLDER_FILES) break;
      if (entry.isDirectory) found.push(...(await picturesIn(entry)));
      else found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
  }
  const kinds = await Promise.all(found.map(kindOf));
  return found
    .filter((_, index) => kinds[index])
    .sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
}

/** By its first bytes: names and types are only said. @param {File} file */
async function kindOf(file) {
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer().catch(() => {
    throw new Error(`‘${file.name}’ cannot be read: has it been moved or changed?`);
  });
  const text = String.fromCharCode(...new Uint8Array(head));
  return Object.keys(SIGNATURES).find((kind) => SIGNATURES[kind].test(text));
}

/** @param {File} file @returns {Promise<Picture>} */
async function readTiff(file) {
  return { file, ...(await tiffSize(file)), thumbnail: null };
}

/** @param {File} file @returns {Promise<Picture>} */
async function readShown(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' }).catch(() => {
    throw new Error(`‘${file.name}’ cannot be read: it is truncated or corrupt.`);
  });
  const { width, height } = bitmap;
  const scale = Math.min(1, THUMBNAIL_PX / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.max(1, width * scale), Math.max(1, height * scale));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close(); // it may have 200 MB
  return { file, width, height, thumbnail: await canvas.convertToBlob({ type: 'image/webp', quality: 0.9 }) };
}

/** @param {string} name @param {Picture} picture @param {Limits} limits */
function checkSize(name, { width, height }, limits) {
  if (!width) return; // the service will see
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const are = `${name} is ${width} × ${height} px:`;
  if (short < limits.min_side_px) throw new Error(`${are} each side needs ${limits.min_side_px} px or more.`);
  if (long > limits.max_side_px) throw new Error(`${are} at most ${limits.max_side_px} px a side are taken.`);
  if (width * height > limits.max_image_pixels)
    throw new Error(`${are} at most ${number(limits.max_image_pixels / 1e6)} million pixels are taken.`);
  if (long > limits.max_aspect_ratio * short)
    throw new Error(`${are} its sides may differ by a factor of ${limits.max_aspect_ratio}.`);
}
