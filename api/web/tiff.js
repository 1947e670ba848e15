/** The size of a TIFF: no browser shows one, but the estimate and the masks need its shape. */

const WIDTH = 256;
const HEIGHT = 257;
const ORIENTATION = 274;
const SHORT = 3;
const ENTRY_BYTES = 12;
const TURNED_BY_A_QUARTER = 5; // and above

/**
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number}>} px, upright; 0 where it cannot be told
 */
export async function tiffSize(file) {
  try {
    const tags = await firstDirectory(file);
    const [width, height] = [tags.get(WIDTH) ?? 0, tags.get(HEIGHT) ?? 0];
    const turned = (tags.get(ORIENTATION) ?? 1) >= TURNED_BY_A_QUARTER;
    return turned ? { width: height, height: width } : { width, height };
  } catch (error) {
    if (error instanceof RangeError) return { width: 0, height: 0 }; // it ends too early
    throw error;
  }
}

/** The numbers of the first picture's directory, by their tags. @param {Blob} file */
async function firstDirectory(file) {
  const header = await view(file, 0, 8);
  const little = header.getUint8(0) === 'I'.charCodeAt(0);
  const start = header.getUint32(4, little);
  const count = (await view(file, start, 2)).getUint16(0, little);
  const directory = await view(file, start + 2, count * ENTRY_BYTES);
  const tags = new Map();
  for (let at = 0; at < count * ENTRY_BYTES; at += ENTRY_BYTES) {
    const isShort = directory.getUint16(at + 2, little) === SHORT;
    const value = isShort ? directory.getUint16(at + 8, little) : directory.getUint32(at + 8, little);
    tags.set(directory.getUint16(at, little), value);
  }
  return tags;
}

/** @param {Blob} file @param {number} start @param {number} length */
const view = async (file, start, length) =>
  new DataView(await file.slice(start, start + length).arrayBuffer());
