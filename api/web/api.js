/** The HTTP calls of the page, and the shapes they answer with. */

import { readEvents } from './events.js';
import { accept, anotherKey, currentKey } from './keys.js';
import { patiently } from './patience.js';
import { Problem } from './problem.js';
import { uniqueId } from './unique.js';
import { upload } from './upload.js';

const ANSWER_SECONDS = 20;

/**
 * @typedef {'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'} Status
 *
 * @typedef {{content: number, style: number, tv: number, total: number}} Losses
 *
 * @typedef {object} Progress
 * @property {number} step
 * @property {number} total_steps
 * @property {number} fraction          between 0 and 1
 * @property {number} level             of the pyramid, from 1, the coarsest first
 * @property {number} width_px          of the level
 * @property {number} height_px
 * @property {?Losses} losses
 * @property {?number} steps_per_second
 * @property {?number} eta_seconds
 * @property {number[]} previews        steps of which there is a preview, oldest first
 *
 * @typedef {object} Output
 * @property {string} content_type
 * @property {number} width_px
 * @property {number} height_px
 * @property {number} size_bytes
 * @property {string} sha256
 *
 * Columns of the same length, one row for each step that was kept.
 *
 * @typedef {{step: number[], content: number[], style: number[], tv: number[], total: number[]}} LossCurve
 *
 * @typedef {{at: string, event: string, detail: string}} HistoryEntry
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {Status} status
 * @property {string} created_at        RFC 3339, UTC
 * @property {?string} started_at
 * @property {?string} finished_at
 * @property {?string} expires_at
 * @property {?string} cancel_requested_at
 * @property {number} attempt
 * @property {?string} retried_from     id of the job that this one repeats
 * @property {Priority} priority
 * @property {?number} queue_position   jobs before this one, while it is queued
 * @property {Record<string, any>} params
 * @property {Record<string, any>} metadata
 * @property {{content: ?string, styles: string[], masks: string[], init: ?string}} inputs  SHA-256
 * @property {?Progress} progress
 * @property {?Output} output
 * @property {?{code: string, message: string}} error
 * @property {HistoryEntry[]} history   newest last
 * @property {{queue_seconds: ?number, run_seconds: ?number}} metrics
 *
 * @typedef {{jobs: Job[], next_cursor: ?string}} JobPage
 *
 * @typedef {object} Preset
 * @property {string} name
 * @property {string} summary
 * @property {string} source
 * @property {boolean} uses_content     whether it needs a photograph
 * @property {boolean} uses_styles      whether it needs paintings
 * @property {Record<string, any>} parameters  every value, as the preset resolves it
 *
 * @typedef {object} Catalog
 * @property {Preset[]} presets
 * @property {Record<string, any>} parameters_schema  JSON Schema
 * @property {import('./pictures.js').Limits} [limits]
 *
 * @typedef {object} Worker
 * @property {string} name
 * @property {boolean} busy
 * @property {?string} job_id           of one's own job that it paints
 *
 * @typedef {object} Estimate
 * @property {number} steps
 * @property {number} width_px
 * @property {number} height_px
 * @property {number} memory_bytes
 * @property {?{low: number, high: number}} seconds
 * @property {number} workers           that are up
 * @property {number} able              of these, those with the memory, as far as known
 * @property {number} waiting_jobs      before a new one of normal priority
 *
 * @typedef {'high' | 'normal' | 'low'} Priority
 *
 * @typedef {{content?: ?Blob, styles?: Blob[], masks?: Blob[], init?: ?Blob}} Inputs  files keep their names
 */

/** Whether requests carry a key. */
export const hasKey = () => currentKey() !== null;

/**
 * Hands a job in, again and again while the service is busy or away: the idempotency key makes one job of
 * however many requests.
 *
 * @param {Inputs} inputs
 * @param {Record<string, unknown>} params
 * @param {Record<string, unknown>} metadata
 * @param {object} how
 * @param {string} how.idempotencyKey
 * @param {Priority} [how.priority]
 * @param {AbortSignal} [how.signal]
 * @param {(fraction: number) => void} [how.onUpload]  told how much of the pictures is sent, from 0 to 1
 * @returns {Promise<Job>}
 */
export function submitJob(inputs, params, metadata, { idempotencyKey, priority, signal, onUpload }) {
  const { content, styles = [], masks = [], init } = inputs;
  const body = new FormData();
  if (content) body.append('content', content);
  for (const style of styles) body.append('style', style);
  for (const mask of masks) body.append('mask', mask);
  if (init) body.append('init', init);
  body.append('params', JSON.stringify(params));
  body.append('metadata', JSON.stringify(metadata));
  if (priority) body.append('priority', priority);
  return patiently(() => post('/v1/jobs', { body, signal, onUpload }, idempotencyKey), signal);
}

/**
 * What a job would take.
 *
 * @param {object} body  see `POST /v1/estimate`
 * @param {AbortSignal} [signal]
 * @returns {Promise<Estimate>}
 */
export const estimate = (body, signal) =>
  json('/v1/estimate', {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' },
    signal,
  });

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Job>} */
export const getJob = (id, signal) => json(jobUrl(id), { signal, withinSeconds: ANSWER_SECONDS });

/**
 * Own jobs, the newest first.
 *
 * @param {{status?: Status[], limit?: number, cursor?: ?string, signal?: AbortSignal}} [which]
 * @returns {Promise<JobPage>}
 */
export function listJobs({ status, limit, cursor, signal } = {}) {
  const query = new URLSearchParams();
  if (status?.length) query.set('status', status.join(','));
  if (limit) query.set('limit', String(limit));
  if (cursor) query.set('cursor', cursor);
  return json(`/v1/jobs?${query}`, { signal, withinSeconds: ANSWER_SECONDS });
}

/** @param {string} id @returns {Promise<Job>} */
export const cancelJob = (id) => patiently(() => post(`${jobUrl(id)}/cancel`));

/** A new job like this one. @param {string} id @returns {Promise<Job>} */
export function retryJob(id) {
  const idempotencyKey = uniqueId();
  return patiently(() => post(`${jobUrl(id)}/retry`, {}, idempotencyKey));
}

/** Removes a finished job and its pictures. @param {string} id @returns {Promise<void>} */
export const deleteJob = (id) =>
  patiently(async () => {
    await request(jobUrl(id), { method: 'DELETE', insists: true }).catch((problem) => {
      if (![404, 410].includes(problem.status)) throw problem; // it is gone: what was wanted
    });
  });

/** The finished picture. @param {string} id @param {AbortSignal} [signal] @returns {Promise<Blob>} */
export const getResult = (id, signal) => blob(`${jobUrl(id)}/result?proxy=1`, signal);

/** What reproduces the picture. @param {string} id @param {AbortSignal} [signal] @returns {Promise<Blob>} */
export const getManifest = (id, signal) => blob(`${jobUrl(id)}/manifest`, signal);

/**
 * The picture as it was after a step; asking keeps new ones coming.
 *
 * @param {string} id
 * @param {number} step  one of `progress.previews`
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
export const getPreview = (id, step, signal) => blob(`${jobUrl(id)}/preview?step=${step}`, signal);

/**
 * How the losses fell; kept from the first preview on.
 *
 * @param {string} id
 * @param {AbortSignal} [signal]
 * @returns {Promise<LossCurve>}
 */
export const getLosses = (id, signal) => json(`${jobUrl(id)}/losses`, { signal });

/**
 * An image that a job was made from.
 *
 * @param {string} id  of the job
 * @param {string} sha256  of the image, from `job.inputs`
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
export const getInput = (id, sha256, signal) => blob(`${jobUrl(id)}/inputs/${sha256}`, signal);

/**
 * What happens to a job, as it happens.
 *
 * @param {string} id
 * @param {?string} lastEventId  of an earlier stream: only what came later is sent
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<import('./events.js').StreamEvent>} ends with the stream, or with a Problem
 */
export async function* events(id, lastEventId, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'text/event-stream' };
  if (lastEventId) headers['Last-Event-ID'] = lastEventId;
  const response = await request(`${jobUrl(id)}/events`, { headers, signal, cache: 'no-store' });
  if (response.body && response.status !== 204) yield* readEvents(response.body);
}

/** @returns {Promise<Catalog>} */
export const listPresets = () => json('/v1/presets');

/** @returns {Promise<Worker[]>} */
export const listWorkers = async () => (await json('/v1/workers', { withinSeconds: ANSWER_SECONDS })).workers;

/** @param {string} id */
const jobUrl = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/**
 * @typedef {object} Manners
 * @property {boolean} [insists]        the visitor has pressed a button for it
 * @property {number} [withinSeconds]   after which an answer is not worth waiting for: it is asked for again
 * @property {(fraction: number) => void} [onUpload]
 *
 * @typedef {RequestInit & Manners} Options
 */

/** @param {string} url @param {Options} [options] */
const json = async (url, options) => whole((await request(url, options)).json(), options);

/** @param {string} url @param {AbortSignal} [signal] */
const blob = async (url, signal) => whole((await request(url, { signal })).blob(), { signal });

/** @param {string} url @param {Options} [options] @param {string} [idempotencyKey] */
const post = (url, options = {}, idempotencyKey = undefined) =>
  json(url, {
    ...options,
    method: 'POST',
    insists: true,
    headers: idempotencyKey ? { 'Idempotency-Key': idempotencyKey } : {},
  });

/**
 * Fetches with the visitor's key, and asks for one where it is needed.
 *
 * @param {string} url
 * @param {Options} [options]
 * @returns {Promise<Response>} a good one; anything else is thrown as a Problem
 */
async function request(url, { insists = false, withinSeconds, onUpload, ...options } = {}) {
  for (;;) {
    const key = currentKey();
    const asked = withKey(within(withinSeconds, options), key);
    const response = await whole(onUpload ? upload(url, asked, onUpload) : fetch(url, asked), options);
    if (response.ok) {
      accept(key);
      return response;
    }
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    // While this was on its way, another request may have got a key already.
    if (key === currentKey() && !(await anotherKey(problem.message, { insists }))) throw problem;
    options.signal?.throwIfAborted();
  }
}

/** @param {RequestInit} options @param {?string} key @returns {RequestInit} */
function withKey(options, key) {
  return key ? { ...options, headers: { ...options.headers, Authorization: `Bearer ${key}` } } : options;
}

/** @param {number | undefined} seconds @param {RequestInit} options @returns {RequestInit} */
function within(seconds, options) {
  if (!seconds) return options;
  const soon = AbortSignal.timeout(1000 * seconds);
  return { ...options, signal: options.signal ? AbortSignal.any([options.signal, soon]) : soon };
}

/**
 * What comes over the network, or a Problem if it breaks off.
 *
 * @template T
 * @param {Promise<T>} coming
 * @param {RequestInit} [options]  with which it was asked for
 * @returns {Promise<T>}
 */
async function whole(coming, { signal } = {}) {
  try {
    return await coming;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'The service does not answer. Is it still running?');
  }
}

/** @param {Response} response */
async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem(response.status, body.detail || body.title || `The service answered ${response.status}.`, {
    code: body.code,
    errors: body.errors,
    retryAfterSeconds: Number(response.headers.get('Retry-After')) || 0,
  });
}
