/** Words and numbers for people. Pure functions: no DOM, no network. */

const SIGNIFICANT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const SCIENTIFIC = new Intl.NumberFormat('en', { notation: 'scientific', maximumSignificantDigits: 3 });
const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS = ['bytes', 'kB', 'MB', 'GB'];
const CLOCK = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' });

/** @type {Record<string, string>} */
const OPTIMIZERS = { adam: 'Adam', lbfgs: 'L-BFGS' };

/** What each status is called. @type {Record<import('./api.js').Status, string>} */
export const STATUS_NAMES = {
  queued: 'Waiting in line',
  running: 'Being painted',
  succeeded: 'Finished',
  failed: 'Could not be painted',
  canceled: 'Canceled',
};

/** 0.0123, 4.7, 1,820 or 1.82e6: three significant digits, whatever the magnitude. @param {number} value */
export function number(value) {
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  if (magnitude >= 1e5 || magnitude < 1e-3) return SCIENTIFIC.format(value).replace('E', 'e');
  return SIGNIFICANT.format(value);
}

/** '3.1 MB', '16 GB' @param {number} count */
export function bytes(count) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${number(count / 1024 ** power)} ${UNITS[power]}`;
}

/** '0.8 s', '14 s', '2 min 05 s', '1 h 20 min'. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 9.95) return `${Math.max(seconds, 0.1).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  const padded = (/** @type {number} */ rest) => String(rest).padStart(2, '0');
  if (minutes < 60) return `${minutes} min ${padded(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${padded(minutes % 60)} min`;
}

/** 'almost done', 'about 14 s left', 'about 4 min left'. @param {number} seconds */
export function remaining(seconds) {
  if (seconds < 1) return 'almost done';
  return `about ${roughly(seconds)} left`;
}

/** '14 s', '4 min', '3 h': of an estimate, so no more exact than that. @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** 'now', '5 minutes ago', 'yesterday'. @param {string} timestamp  RFC 3339 */
export function ago(timestamp, now = Date.now()) {
  const seconds = (Date.parse(timestamp) - now) / 1000;
  if (seconds > -45) return 'now';
  if (seconds > -2700) return RELATIVE.format(Math.round(seconds / 60), 'minute');
  if (seconds > -79_200) return RELATIVE.format(Math.round(seconds / 3600), 'hour');
  return RELATIVE.format(Math.round(seconds / 86_400), 'day');
}

/** '14:05:09', in the visitor's own time. @param {string} timestamp  RFC 3339 */
export const clock = (timestamp) => CLOCK.format(new Date(timestamp));

/** @param {?number} ahead  jobs before this one */
function queuePlace(ahead) {
  if (ahead === null) return STATUS_NAMES.queued;
  if (ahead === 0) return 'Next in line';
  return ahead === 1 ? 'One picture is ahead of it' : `${ahead} pictures are ahead of it`;
}

/**
 * What a job is at, in the words of all places that say so.
 *
 * @param {Pick<import('./api.js').Job, 'status' | 'queue_position' | 'cancel_requested_at'>} job
 */
export function stateOf({ status, queue_position, cancel_requested_at }) {
  if (status === 'queued') return queuePlace(queue_position);
  return status === 'running' && cancel_requested_at ? 'Stopping' : STATUS_NAMES[status];
}

/** '43 %', or nothing before the first step. @param {Pick<import('./api.js').Job, 'progress'>} job */
export const percentOf = ({ progress }) => (progress ? `${Math.floor(100 * progress.fraction)} %` : '');

/** 'Starry night' from 'starry_night.jpg', 'Content clone' from 'content-clone'. @param {string} name */
export function title(name) {
  const words = name.replace(/\.[a-z]{3,4}$/i, '').replace(/[_\s-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * 'Tubingen, after Starry night', or 'After Starry night' for a texture; the names came with the job, from
 * this page or our client.
 *
 * @param {Pick<import('./api.js').Job, 'metadata'>} job
 */
export function jobTitle({ metadata }) {
  const { content_name: content, style_names: styles } = metadata;
  const known = Array.isArray(styles) ? styles.map((style) => title(String(style))).join(' and ') : '';
  if (typeof content !== 'string') return known ? `After ${known}` : 'Untitled';
  return known ? `${title(content)}, after ${known}` : title(content);
}

/** 'tubingen-after-starry-night', for the names of files; letters of all scripts stay. @param {import('./api.js').Job} job */
export function fileStem(job) {
  const words = jobTitle(job).normalize('NFC').toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu);
  return words?.join('-') ?? 'picture';
}

/** The museum's line under a title: 'Adam, 150 steps, 512 × 384 px'. @param {import('./api.js').Job} job */
export function medium({ params, output }) {
  const optimizer = OPTIMIZERS[params.optimizer] ?? params.optimizer;
  const size = output ? `${output.width_px} × ${output.height_px} px` : `${params.size} px`;
  return `${optimizer}, ${params.steps} steps, ${size}`;
}

/** Of the style weight, from the slider's logarithmic scale: -1 is a tenth, 0 leaves it, 1 is tenfold. @param {number} strength */
export const multiplier = (strength) => 10 ** strength;

/** 'It is too large.' from 'it is too large', as the service words it. @param {string} text */
export function sentence(text) {
  const capitalized = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capitalized) ? capitalized : `${capitalized}.`;
}
