/** The room in which a picture is ordered: photographs and paintings on the wall, how to paint beside it. */

import * as api from './api.js';
import { Controls } from './controls.js';
import { byId, part } from './dom.js';
import { Drawer } from './drawer.js';
import { Dropzone } from './dropzone.js';
import { EstimateLine } from './estimate.js';
import { clearErrors, showErrors } from './fields.js';
import { Manners } from './manners.js';
import { Sheet } from './parameters.js';
import { persistently } from './patience.js';
import { readPicture } from './pictures.js';
import { showProblem } from './problem.js';
import { curl, python } from './snippets.js';
import { drawVeils, Styles } from './styles.js';

const COPIED_SECONDS = 3;
const SNIPPETS = { curl, python };

/** @param {string} id */
const element = (id) => byId(id, HTMLElement);

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./pictures.js').Picture} Picture
 *
 * @typedef {object} Catalog                   what `GET /v1/presets` answers
 * @property {import('./api.js').Preset[]} presets
 * @property {import('./parameters.js').Schema} parameters_schema
 * @property {import('./pictures.js').Limits} [limits]
 */

export class Compose {
  #form = element('compose');
  #problem = element('compose-problem');
  #submit = byId('submit', HTMLButtonElement);
  #priority = byId('priority', HTMLSelectElement);
  #sheet = new Sheet();
  #manners = new Manners(this.#sheet);
  #controls = new Controls(this.#sheet);
  #drawer = new Drawer(this.#sheet);
  #estimate = new EstimateLine();
  #content;
  #styles;
  #beginning;
  /** @type {HTMLCanvasElement} */
  #veils = document.createElement('canvas');
  /** What an earlier job was given besides, and is given again. @type {Record<string, any>} */
  #notes = {};
  /** Makes one job of however many attempts; another order gets another one. */
  #idempotencyKey = crypto.randomUUID();
  #isBusy = false;
  /** The earlier job that fills the form; another one takes its place. */
  #refilling = new AbortController();
  #onSubmitted;

  /** @param {(job: Job) => void} onSubmitted */
  constructor(onSubmitted) {
    this.#onSubmitted = onSubmitted;
    const changed = () => this.#changed();
    this.#content = new Dropzone(element('content'), changed);
    this.#beginning = new Dropzone(element('beginning'), changed);
    this.#styles = new Styles(element('style'), {
      onChange: changed,
      getPhotograph: () => (this.#content.isUsed ? (this.#content.pictures[0] ?? null) : null),
    });
    this.#veils.className = 'veils';
    this.#sheet.addEventListener('change', () => this.#onSheet());
    this.#priority.addEventListener('change', changed);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#order();
    });
    element('reset').addEventListener('click', () => this.#reset());
    for (const button of element('copy').querySelectorAll('button'))
      button.addEventListener('click', () => this.#copy(/** @type {keyof typeof SNIPPETS} */ (button.value)));
  }

  /** @param {Catalog} catalog  its first preset is chosen */
  setPresets({ presets, parameters_schema: schema, limits = {} }) {
    for (const zone of this.#zones) zone.limits = limits;
    this.#sheet.setCatalog(presets, schema);
    this.#manners.setPresets(presets);
    this.#controls.setBounds(limits);
    this.#drawer.build();
    this.#setBusy(false);
    showProblem(this.#problem, null);
  }

  /**
   * Takes pictures that were dropped or pasted anywhere: the photograph first, then paintings.
   *
   * @param {File[] | Promise<File[]>} files
   */
  async take(files) {
    const pictures = await files;
    if (!this.#content.isEmpty || !this.#content.isUsed) return this.#styles.zone.add(pictures);
    const [first, ...others] = pictures;
    await this.#content.add([first]);
    await this.#styles.zone.add(others);
  }

  /**
   * Fills the form from an earlier job: every parameter, and every picture that the service still has. What
   * is missing then is said.
   *
   * @param {Job} job
   */
  async refill(job) {
    const { params, metadata, inputs, priority } = job;
    const { content_name: contentName, style_names: styleNames, ...notes } = metadata;
    this.#refilling.abort();
    this.#refilling = new AbortController();
    const { signal } = this.#refilling;
    this.#notes = notes;
    this.#priority.value = priority ?? 'normal';
    this.#sheet.fill({ ...params, style_weights: null });
    this.#tell('Fetching the pictures …');
    this.#setBusy(true);
    const missing = [];
    const names = Array.isArray(styleNames) ? styleNames : [];
    const fetched = async (sha256, name) => {
      const file = sha256 && (await fetchInput(job.id, sha256, name, signal));
      if (file || !sha256) return file;
      missing.push(name);
      return null;
    };
    try {
      const [content, beginning, ...styles] = await Promise.all([
        fetched(inputs.content, nameOr(contentName, 'photograph')),
        fetched(inputs.init, 'beginning'),
        ...inputs.styles.map((sha256, index) => fetched(sha256, nameOr(names[index], `painting ${index + 1}`))),
      ]);
      const masks = await Promise.all(inputs.masks.map((sha256, index) => fetched(sha256, `mask-${index + 1}.png`)));
      const [photograph, start] = [await pictures(content), await pictures(beginning)];
      const paintings = await pictures(...styles);
      signal.throwIfAborted();
      this.#content.set(photograph);
      this.#beginning.set(start);
      // With a painting missing, weights and masks would go to the wrong ones.
      const isWhole = [...styles, ...masks].every(Boolean);
      await this.#styles.fill(paintings, isWhole ? params.style_weights : null, isWhole ? masks : []);
      this.#tell(noticeOf(missing, params));
    } catch (problem) {
      if (signal.aborted) return;
      this.#tell('');
      showProblem(this.#problem, problem);
    } finally {
      if (!signal.aborted) this.#setBusy(false);
    }
  }

  get #zones() {
    return [this.#content, this.#styles.zone, this.#beginning];
  }

  async #order() {
    if (this.#isBusy) return;
    this.#setBusy(true);
    try {
      await Promise.all(this.#zones.map(({ ready }) => ready));
      if (this.#refuse()) return;
      const { inputs, params, metadata, priority } = await this.#request();
      const job = await api.submitJob(inputs, params, metadata, {
        priority,
        idempotencyKey: this.#idempotencyKey,
        onUpload: (share) => this.#showUpload(share),
      });
      this.#idempotencyKey = crypto.randomUUID();
      this.#tell('');
      this.#onSubmitted(job);
    } catch (problem) {
      this.#showProblem(problem);
    } finally {
      this.#setBusy(false);
    }
  }

  /** Says what is still needed, where it is put right. @returns {boolean} whether something is */
  #refuse() {
    const missing = this.#missing();
    showProblem(this.#problem, missing && new Error(missing.sentence));
    missing?.field.focus();
    return Boolean(missing);
  }

  #missing() {
    if (this.#content.isUsed && this.#content.isEmpty)
      return { sentence: 'Choose a photograph first.', field: this.#content };
    if (this.#styles.zone.isUsed && this.#styles.zone.isEmpty)
      return { sentence: 'Choose a painting for the style.', field: this.#styles.zone };
    if (this.#beginsWithPicture && this.#beginning.isEmpty)
      return { sentence: 'Choose the picture to begin with.', field: this.#beginning };
    const { invalid } = this.#controls;
    if (!invalid) return null;
    invalid.closest('details')?.setAttribute('open', '');
    return { sentence: `${nameOf(invalid)}: ${invalid.validationMessage}`, field: invalid };
  }

  get #beginsWithPicture() {
    return this.#sheet.get('init') === 'image';
  }

  /** What is posted. */
  async #request() {
    const { content, styles, init, params, metadata, priority } = this.#plan();
    const masks = styles.length > 0 ? await this.#styles.maskFiles() : [];
    return { inputs: { content, styles, masks, init }, params, metadata, priority };
  }

  /** What is posted, but the masks. */
  #plan() {
    const content = this.#content.isUsed ? (this.#content.pictures[0]?.file ?? null) : null;
    const styles = this.#styles.zone.isUsed ? this.#styles.files : [];
    const init = this.#beginsWithPicture ? (this.#beginning.pictures[0]?.file ?? null) : null;
    const params = this.#sheet.toJSON();
    delete params.style_weights;
    if (styles.length > 0 && this.#styles.weights) params.style_weights = this.#styles.weights;
    if (content) delete params.aspect_ratio; // the picture has the photograph's
    const metadata = {
      ...this.#notes,
      ...(content && { content_name: content.name }),
      style_names: styles.map(({ name }) => name),
    };
    const priority = /** @type {import('./api.js').Priority} */ (this.#priority.value);
    return { content, styles, init, params, metadata, priority };
  }

  /** The preset and the parameters decide which pictures are of use. */
  #onSheet() {
    const { usesContent, usesStyles } = this.#sheet;
    if (this.#content.isUsed !== usesContent) this.#content.isUsed = usesContent;
    if (this.#styles.zone.isUsed !== usesStyles) this.#styles.zone.isUsed = usesStyles;
    element('beginning').hidden = !this.#beginsWithPicture;
    const changes = this.#sheet.changed.filter((name) => name !== 'style_weights').length;
    element('changes').textContent = changes === 0 ? '' : `${changes} changed`;
    element('reset').hidden = changes === 0;
    this.#changed();
  }

  /** Something is not as it was when it was last handed in, estimated or found wrong. */
  #changed() {
    if (!this.#sheet.preset || !this.#styles) return; // not ready yet
    this.#idempotencyKey = crypto.randomUUID();
    showProblem(this.#problem, null);
    clearErrors();
    const masked = this.#styles.hasMasks && this.#styles.zone.isUsed;
    this.#controls.hasMasks = masked;
    this.#styles.refresh();
    this.#showVeils();
    this.#estimate.ask(this.#question());
  }

  /** The masks over the photograph, as they are on the wall. */
  #showVeils() {
    const [photograph] = this.#content.pictures;
    if (photograph) this.#content.itemOf(photograph).querySelector('.frame').append(this.#veils);
    drawVeils(this.#styles, this.#veils);
  }

  /** What to ask the estimate; null while pictures are missing, or nobody knows their sizes. */
  #question() {
    if (this.#missing()) return null;
    const { params } = this.#plan();
    const content = this.#content.isUsed ? this.#content.pictures[0] : null;
    const styles = this.#styles.zone.isUsed ? this.#styles.zone.pictures : [];
    if ([content, ...styles].some((picture) => picture && !picture.width)) return null;
    const size = ({ width, height }) => ({ width_px: width, height_px: height });
    return {
      params,
      content: content && size(content),
      styles: styles.map(size),
      masks: this.#styles.hasMasks ? styles.length : 0,
    };
  }

  /** @param {import('./api.js').Problem} problem */
  #showProblem(problem) {
    showProblem(this.#problem, problem);
    const { first, homeless } = showErrors(problem.errors ?? []);
    if (first) first.focus();
    else if (homeless[0]?.pointer.startsWith('params/')) this.#drawer.open(homeless[0]);
  }

  /** Copies the request as it would be posted now. @param {keyof typeof SNIPPETS} kind */
  async #copy(kind) {
    await Promise.all(this.#zones.map(({ ready }) => ready));
    const { content, styles, init, params, metadata, priority } = this.#plan();
    const text = SNIPPETS[kind]({
      url: location.origin,
      content: content?.name ?? null,
      styles: styles.map(({ name }) => name),
      masks: this.#styles.hasMasks ? styles.map((_, index) => `mask-${index + 1}.png`) : [],
      init: init?.name ?? null,
      params,
      metadata,
      priority,
      hasKey: api.hasKey?.() ?? false,
    });
    const said = part(element('copy'), '[role=status]', HTMLElement);
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = 'Copied.';
    } catch {
      said.textContent = 'The browser does not let it be copied.';
    }
    setTimeout(() => (said.textContent = ''), 1000 * COPIED_SECONDS);
  }

  #reset() {
    this.#notes = {};
    this.#priority.value = 'normal';
    this.#sheet.reset();
  }

  /** @param {string} sentence */
  #tell(sentence) {
    element('notice').textContent = sentence;
  }

  #showUpload(share) {
    const bar = byId('upload', HTMLProgressElement);
    bar.hidden = share >= 1;
    bar.value = share;
  }

  #setBusy(busy) {
    this.#isBusy = busy;
    this.#submit.disabled = busy;
    this.#submit.textContent = busy ? 'Handing it in …' : 'Paint';
    if (!busy) element('upload').hidden = true;
  }
}

/** An image of an earlier job, or null when it is not kept any more. @returns {Promise<?File>} */
async function fetchInput(jobId, sha256, name, signal) {
  try {
    const blob = await persistently(() => api.getInput(jobId, sha256, signal), signal);
    return new File([blob], name, { type: blob.type });
  } catch (problem) {
    if (problem.status === 404 || problem.status === 410) return null;
    throw problem;
  }
}

/** @param {...?File} files @returns {Promise<Picture[]>} */
const pictures = (...files) => Promise.all(files.filter(Boolean).map((file) => readPicture(file, {})));

/** @param {unknown} name @param {string} other */
const nameOr = (name, other) => (typeof name === 'string' && name ? name : other);

/** What could not be filled in. @param {string[]} missing @param {Record<string, any>} params */
function noticeOf(missing, { seed }) {
  const sentences = [];
  if (missing.length > 0)
    sentences.push(`Not kept any more: ${missing.map((name) => `‘${name}’`).join(', ')}. Choose them again.`);
  if (!Number.isSafeInteger(seed)) sentences.push('The seed has more digits than a browser can hold: it was rounded.');
  return sentences.join(' ');
}

/** What a field is called. @param {HTMLInputElement} field */
const nameOf = (field) => (field.id === 'size' ? 'Size' : field.labels[0].textContent.trim());
