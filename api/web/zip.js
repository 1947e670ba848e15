/**
 * A ZIP archive (APPNOTE.TXT) of files that are stored as they are: pictures do not get any smaller, and a
 * manifest is small.
 */

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_OF_CENTRAL = 0x06054b50;
const VERSION = 20; // 2.0
const UTF8_NAMES = 1 << 11;

/** @param {Record<string, Blob>} files  by name @returns {Promise<Blob>} */
export async function zip(files) {
  const [time, date] = dosTime(new Date());
  /** @type {BlobPart[]} */
  const bodies = [];
  /** @type {BlobPart[]} */
  const entries = [];
  let offset = 0;
  let entriesSize = 0;
  for (const [name, file] of Object.entries(files)) {
    const encoded = new TextEncoder().encode(name);
    const data = new Uint8Array(await file.arrayBuffer());
    /** What both headers say alike, from the version on. @type {Field[]} */
    const common = [
      [2, VERSION], [2, UTF8_NAMES], [2, 0], [2, time], [2, date], [4, crc32(data)],
      [4, data.length], [4, data.length], [2, encoded.length], [2, 0],
    ];
    const local = pack([[4, LOCAL_HEADER], ...common]);
    const central = pack([
      [4, CENTRAL_HEADER], [2, VERSION], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset],
    ]);
    bodies.push(local, encoded, data);
    entries.push(central, encoded);
    offset += local.length + encoded.length + data.length;
    entriesSize += central.length + encoded.length;
  }
  const count = Object.keys(files).length;
  const end = pack([
    [4, END_OF_CENTRAL], [2, 0], [2, 0], [2, count], [2, count], [4, entriesSize], [4, offset], [2, 0],
  ]);
  return new Blob([...bodies, ...entries, end], { type: 'application/zip' });
}

/** How many bytes, and the value. @typedef {[2 | 4, number]} Field */

/** @param {Field[]} fields  little-endian */
function pack(fields) {
  const bytes = new Uint8Array(fields.reduce((size, [width]) => size + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return bytes;
}

/** Of two seconds each, in the local time, as MS-DOS kept it. @param {Date} moment */
const dosTime = (moment) => [
  (moment.getHours() << 11) | (moment.getMinutes() << 5) | (moment.getSeconds() >> 1),
  ((moment.getFullYear() - 1980) << 9) | ((moment.getMonth() + 1) << 5) | moment.getDate(),
];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** @param {Uint8Array} data */
function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
