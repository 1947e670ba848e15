/** The HTTP calls of the page, and the shapes they answer with. */

/**
 * @typedef {'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'} Status
 *
 * @typedef {object} Progress
 * @property {number} step
 * @property {number} total_steps
 * @property {number} fraction          between 0 and 1
 * @property {number} level             of the pyramid, from 1, the coarsest first
 * @property {number} width_px          of the level
 * @property {number} height_px
 * @property {?{content: number, style: number, tv: number, total: number}} losses
 * @property {?number} steps_per_second
 * @property {?number} eta_seconds
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {Status} status
 * @property {string} created_at        RFC 3339, UTC
 * @property {?string} cancel_requested_at
 * @property {?number} queue_position   jobs before this one, while it is queued
 * @property {Record<string, any>} params
 * @property {Record<string, string>} metadata
 * @property {?Progress} progress
 * @property {?{content_type: string, width_px: number, height_px: number}} output
 * @property {?{code: string, message: string}} error
 * @property {{queue_seconds: ?number, run_seconds: ?number}} metrics
 *
 * @typedef {object} Preset
 * @property {string} name
 * @property {string} summary
 * @property {string} source
 * @property {boolean} uses_content     whether it needs a photograph
 * @property {boolean} uses_styles      whether it needs paintings
 * @property {Record<string, any>} parameters  every value, as the preset resolves it
 *
 * @typedef {{content: ?File, styles: File[]}} Inputs
 */

/** What went wrong, as the service's problem details say it (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status  of HTTP; 0 when there was no answer at all
   * @param {string} message  a sentence for the person at the page
   * @param {{errors?: {pointer: string, detail: string}[], retryAfterSeconds?: number}} [more]
   */
  constructor(status, message, { errors = [], retryAfterSeconds = 0 } = {}) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * @param {Inputs} inputs
 * @param {Record<string, unknown>} params
 * @param {Record<string, string>} metadata
 * @returns {Promise<Job>}
 */
export function submitJob({ content, styles }, params, metadata) {
  const body = new FormData();
  if (content) body.append('content', content);
  for (const style of styles) body.append('style', style);
  body.append('params', JSON.stringify(params));
  body.append('metadata', JSON.stringify(metadata));
  return json('/v1/jobs', { method: 'POST', body });
}

/** @returns {Promise<Job>} */
export const getJob = (id, signal) => json(jobUrl(id), { signal });

/** @returns {Promise<Job>} */
export const cancelJob = (id) => json(`${jobUrl(id)}/cancel`, { method: 'POST' });

/** The newest jobs first. @returns {Promise<Job[]>} */
export const listJobs = async (limit) => (await json(`/v1/jobs?limit=${limit}`)).jobs;

/** @returns {Promise<Preset[]>} */
export const listPresets = async () => (await json('/v1/presets')).presets;

/** @returns {Promise<object[]>} */
export const listWorkers = async () => (await json('/v1/workers')).workers;

/** Where the finished picture lies, on this origin. */
export const resultUrl = (id) => `${jobUrl(id)}/result?proxy=1`;

/** The finished picture. @param {string} id @param {AbortSignal} signal @returns {Promise<Blob>} */
export const getResult = async (id, signal) => (await request(resultUrl(id), { signal })).blob();

export const manifestUrl = (id) => `${jobUrl(id)}/manifest`;

/**
 * The newest preview, or null when there is none that is newer than `etag`.
 *
 * @param {string} id
 * @param {?string} etag  of the preview that is shown already
 * @param {AbortSignal} signal
 * @returns {Promise<?{picture: Blob, etag: ?string}>}
 */
export async function getPreview(id, etag, signal) {
  const headers = etag ? { 'If-None-Match': etag } : {};
  const response = await fetch(`${jobUrl(id)}/preview`, { headers, signal });
  if (response.status !== 200) return null;
  return { picture: await response.blob(), etag: response.headers.get('ETag') };
}

const jobUrl = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/** @param {string} url @param {RequestInit} [options] */
const json = async (url, options) => (await request(url, options)).json();

/** Fetches, or throws a Problem. @param {string} url @param {RequestInit} [options] */
async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, 'The service does not answer. Is it still running?');
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** @param {Response} response */
async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem(response.status, body.detail || body.title || `The service answered ${response.status}.`, {
    errors: body.errors,
    retryAfterSeconds: Number(response.headers.get('Retry-After')) || 0,
  });
}
