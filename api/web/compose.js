/** The room in which a picture is ordered: photographs and paintings on the wall, how to paint beside it. */

import * as api from './api.js';
import { Controls } from './controls.js';
import { wireCopying } from './copying.js';
import { byId, element } from './dom.js';
import { save } from './download.js';
import { keepDraft, readDraft } from './draft.js';
import { Drawer } from './drawer.js';
import { Dropzone } from './dropzone.js';
import { fetchEarlier } from './earlier.js';
import { EstimateLine } from './estimate.js';
import { FieldProblems } from './fields.js';
import { title } from './format.js';
import { Manners } from './manners.js';
import { Sheet } from './parameters.js';
import { showProblem } from './problem.js';
import { maskName } from './request.js';
import { Styles } from './styles.js';
import { uniqueId } from './unique.js';
import { Veils } from './veils.js';
import { zip } from './zip.js';

/** @typedef {import('./api.js').Job} Job */

export class Compose {
  #form = element('compose');
  #fields = new FieldProblems((pointer) => this.#blockOf(pointer));
  /** Disabled until there is something to fill in, and the draft of before has been. */
  #panel = byId('compose-panel', HTMLFieldSetElement);
  #problem = element('compose-problem');
  #callOff = byId('call-off', HTMLButtonElement);
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
  #veils = new Veils();
  /** What an earlier job was given besides, and is given again. @type {Record<string, any>} */
  #notes = {};
  /** Makes one job of however many attempts; another order gets another one. */
  #idempotencyKey = uniqueId();
  /** While a job is handed in. @type {?AbortController} */
  #ordering = null;
  /** While the pictures of an earlier job are fetched; another job takes its place. @type {?AbortController} */
  #filling = null;
  /** @type {() => void} */
  #openUp;
  /** When there is something to fill in. @type {Promise<void>} */
  #isOpen = new Promise((resolve) => (this.#openUp = resolve));
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
    this.#sheet.addEventListener('change', () => this.#onSheet());
    this.#priority.addEventListener('change', changed);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#order();
    });
    this.#callOff.addEventListener('click', () => {
      this.#ordering?.abort();
      this.#filling?.abort();
    });
    element('reset').addEventListener('click', () => this.#reset());
    element('save-masks').addEventListener('click', () => this.#saveMasks());
    wireCopying(element('copy'), () => this.#copied());
  }

  /** @param {import('./api.js').Catalog} catalog  its first preset is chosen */
  async setPresets({ presets, parameters_schema: schema, limits = {} }) {
    for (const zone of this.#zones) zone.limits = limits;
    this.#sheet.setCatalog(presets, schema);
    this.#manners.setPresets(presets);
    this.#controls.setLimits(limits);
    this.#drawer.build();
    const draft = await readDraft();
    const isTouched = this.#zones.some(({ isEmpty }) => !isEmpty);
    try {
      if (draft) this.#restore(draft);
    } catch {
      // Another version of the page has kept it: it is of no use.
    }
    this.#panel.disabled = false;
    if (isTouched) this.#keep();
    showProblem(this.#problem, null);
    this.#showBusy();
    this.#openUp();
  }

  /**
   * Takes pictures that were dropped or pasted anywhere: the photograph first, then paintings.
   *
   * @param {File[] | Promise<File[]>} files
   */
  async take(files) {
    if (!this.#content.isEmpty || !this.#content.isUsed) return this.#styles.zone.add(files);
    const [one, others] = halves(Promise.resolve(files));
    await this.#content.add(one);
    if ((await others).length > 0) await this.#styles.zone.add(others);
  }

  /** Takes a picture that was painted for the photograph; the paintings stay. @param {File} picture */
  async paintOn(picture) {
    await this.#isOpen;
    await this.#content.add([picture]);
    const [photograph] = this.#content.pictures;
    if (photograph?.file === picture) this.#tell(`The photograph is now ‘${title(picture.name)}’.`);
  }

  /**
   * Fills the form from an earlier job: every parameter, and every picture that the service still has. What
   * is missing then is said.
   *
   * @param {Job} job
   */
  async refill(job) {
    this.#filling?.abort();
    const filling = new AbortController();
    this.#filling = filling;
    this.#tell('Fetching the pictures …');
    this.#showBusy();
    try {
      const all = Promise.all([fetchEarlier(job, filling.signal), this.#isOpen, this.#areReady()]);
      const [earlier] = await Promise.race([all, calledOff(filling.signal)]);
      this.#fill(job, earlier);
    } catch (problem) {
      if (this.#filling !== filling) return; // it is told what the other one does
      this.#tell(filling.signal.aborted ? 'Called off: all is as it was.' : '');
      if (!filling.signal.aborted) showProblem(this.#problem, problem);
    } finally {
      if (this.#filling === filling) this.#filling = null;
      this.#showBusy();
    }
  }

  /** @param {Job} job @param {import('./earlier.js').Earlier} earlier */
  #fill({ params, metadata, priority }, earlier) {
    const { content_name: _, style_names: __, ...notes } = metadata;
    const { content, beginning, styles, hasAllStyles, masks, maskFiles, lack } = earlier;
    this.#notes = notes;
    this.#priority.value = priority ?? 'normal';
    this.#sheet.fill({ ...params, style_weights: null });
    this.#content.set(content ? [content] : []);
    this.#beginning.set(beginning ? [beginning] : []);
    this.#styles.fill(styles, hasAllStyles ? params.style_weights : null, masks, maskFiles);
    const isExact = Number.isSafeInteger(params.seed);
    this.#tell(`${lack} ${isExact ? '' : 'The seed has more digits than a browser can hold: it was rounded.'}`.trim());
  }

  /**
   * Fills the form as it was left, but for wells that somebody has filled meanwhile.
   *
   * @param {import('./draft.js').Form} draft
   */
  #restore({ settings, pictures }) {
    if (!this.#sheet.restore(settings.params)) return; // it is of another version of the service
    this.#notes = settings.notes;
    this.#priority.value = settings.priority;
    if (this.#content.isEmpty) this.#content.set(pictures.content);
    if (this.#beginning.isEmpty) this.#beginning.set(pictures.beginning);
    if (this.#styles.zone.isEmpty)
      this.#styles.fill(pictures.paintings, settings.weights, pictures.masks, pictures.maskFiles);
  }

  #keep() {
    keepDraft(() => this.#left());
  }

  /** The form as a draft has it. @returns {import('./draft.js').Form} */
  #left() {
    const { pictures: paintings, weights, masks, maskFiles } = this.#styles.filled;
    return {
      settings: { params: this.#sheet.toJSON(), notes: this.#notes, priority: this.#priority.value, weights },
      pictures: {
        content: this.#content.pictures,
        beginning: this.#beginning.pictures,
        paintings,
        masks,
        maskFiles,
      },
    };
  }

  get #zones() {
    return [this.#content, this.#styles.zone, this.#beginning];
  }

  /** When the files that were given have been looked at. */
  #areReady() {
    return Promise.all(this.#zones.map(({ ready }) => ready));
  }

  async #order() {
    if (this.#panel.disabled || this.#ordering || this.#filling) return;
    this.#ordering = new AbortController();
    const { signal } = this.#ordering;
    this.#showBusy();
    let sent = 0;
    try {
      await this.#areReady();
      signal.throwIfAborted();
      if (this.#refuse()) return;
      this.#tell('');
      const { inputs, params, metadata, priority } = await this.#request();
      const job = await api.submitJob(inputs, params, metadata, {
        priority,
        signal,
        idempotencyKey: this.#idempotencyKey,
        onUpload: (share) => this.#showUpload((sent = share)),
      });
      this.#idempotencyKey = uniqueId();
      this.#onSubmitted(job);
    } catch (problem) {
      if (!signal.aborted) this.#showProblem(problem);
      else this.#tell(sent < 1 ? 'Called off.' : 'Called off, but it had arrived: it may hang among the works.');
    } finally {
      this.#ordering = null;
      this.#showBusy();
    }
  }

  /** Says what is still needed, where it is put right. @returns {boolean} whether something is */
  #refuse() {
    const missing = this.#missing();
    showProblem(this.#problem, missing && new Error(missing.sentence));
    missing?.show();
    return Boolean(missing);
  }

  /** What is still needed first, and how to get there. @returns {?{sentence: string, show: () => void}} */
  #missing() {
    if (this.#content.isUsed && this.#content.isEmpty)
      return { sentence: 'Choose a photograph first.', show: () => this.#content.focus() };
    if (this.#styles.zone.isUsed && this.#styles.zone.isEmpty)
      return { sentence: 'Choose a painting for the style.', show: () => this.#styles.zone.focus() };
    if (this.#beginsWithPicture && this.#beginning.isEmpty)
      return { sentence: 'Choose the picture to begin with.', show: () => this.#beginning.focus() };
    const onPanel = this.#controls.invalid;
    const invalid = onPanel ?? this.#drawer.invalid;
    if (!invalid) return null;
    return {
      sentence: `${nameOf(invalid)}: ${invalid.validationMessage}`,
      show: () => {
        if (!onPanel) this.#drawer.open();
        invalid.closest('details')?.setAttribute('open', '');
        invalid.focus();
      },
    };
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
    this.#changed();
  }

  /** Something is not as it was when it was last handed in, estimated or found wrong. */
  #changed() {
    if (!this.#sheet.preset || !this.#styles) return; // not ready yet
    this.#idempotencyKey = uniqueId();
    showProblem(this.#problem, null);
    this.#fields.clear();
    this.#showChanges();
    const masked = this.#styles.hasMasks && this.#styles.zone.isUsed;
    this.#controls.hasMasks = masked;
    element('save-masks').hidden = !masked;
    this.#showVeils();
    if (!this.#panel.disabled) this.#keep();
    this.#estimate.ask(this.#question());
  }

  /** How much there is to take back. */
  #showChanges() {
    const changes = this.#sheet.changed.filter((name) => name !== 'style_weights').length;
    element('changes').textContent = changes === 0 ? '' : `${changes} changed`;
    element('reset').hidden = changes === 0 && this.#priority.value === 'normal';
  }

  /** The masks over the photograph, as they are on the wall. */
  #showVeils() {
    const [photograph] = this.#content.pictures;
    const frame = photograph && this.#content.itemOf(photograph).querySelector('.frame');
    this.#veils.show(this.#styles.veils, frame);
  }

  /**
   * What to ask the estimate; null while pictures are missing, or nobody knows their sizes.
   *
   * @returns {?import('./estimate.js').Question}
   */
  #question() {
    if (this.#missing()) return null;
    const { params, priority } = this.#plan();
    const content = this.#content.isUsed ? this.#content.pictures[0] : null;
    const styles = this.#styles.zone.isUsed ? this.#styles.zone.pictures : [];
    if ([content, ...styles].some((picture) => picture && !picture.width)) return null;
    const size = ({ width, height }) => ({ width_px: width, height_px: height });
    const masks = this.#styles.hasMasks ? styles.length : 0;
    const body = { params, content: content && size(content), styles: styles.map(size), masks };
    return { body, isInTurn: priority === 'normal' };
  }

  /** @param {import('./problem.js').Problem} problem */
  #showProblem(problem) {
    showProblem(this.#problem, problem);
    const { first, homeless } = this.#fields.show(problem.errors ?? []);
    if (first) first.focus();
    else this.#drawer.openAt(homeless);
  }

  /** The block of the nearest field on the panel: `style/0` is told where styles are. @param {string} pointer */
  #blockOf(pointer) {
    const path = pointer.split('/');
    for (let length = path.length; length > 0; length--) {
      const name = CSS.escape(path.slice(0, length).join('/'));
      const block = /** @type {?HTMLElement} */ (this.#form.querySelector(`[data-pointer~="${name}"]`));
      if (block && !block.hidden) return block;
    }
    return null;
  }

  /** As it would be posted now. @returns {Promise<import('./snippets.js').Request>} */
  async #copied() {
    await this.#areReady();
    const { content, styles, init, params, metadata, priority } = this.#plan();
    return {
      url: location.origin,
      content: content?.name ?? null,
      styles: styles.map(({ name }) => name),
      masks: this.#styles.hasMasks ? styles.map((_, index) => maskName(index)) : [],
      init: init?.name ?? null,
      params,
      metadata,
      priority,
      hasKey: api.hasKey(),
    };
  }

  /** Those that the copied request names, also of what nobody has painted: the rest. */
  async #saveMasks() {
    const masks = await this.#styles.maskFiles();
    save(await zip(Object.fromEntries(masks.map((mask) => [mask.name, mask]))), 'masks.zip');
  }

  #reset() {
    const filling = this.#filling;
    this.#filling = null; // and not called off: much is not as it was
    filling?.abort();
    this.#tell('');
    this.#showBusy();
    this.#notes = {};
    this.#priority.value = 'normal';
    this.#sheet.reset();
    element('open-drawer').focus(); // the button hides itself
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

  /** While something is going on nothing is handed in, but it may be called off. */
  #showBusy() {
    const isBusy = Boolean(this.#ordering || this.#filling);
    // And not disabled: it keeps the focus.
    this.#submit.setAttribute('aria-disabled', String(isBusy || this.#panel.disabled));
    this.#submit.textContent = this.#ordering ? 'Handing it in …' : 'Paint';
    if (!this.#ordering) element('upload').hidden = true;
    if (!isBusy && document.activeElement === this.#callOff) this.#submit.focus();
    this.#callOff.hidden = !isBusy;
  }
}

/**
 * The first file, and the others.
 *
 * @param {Promise<File[]>} files
 * @returns {[Promise<File[]>, Promise<File[]>]}
 */
const halves = (files) => [files.then((all) => all.slice(0, 1)), files.then((all) => all.slice(1), () => [])];

/** @param {AbortSignal} signal @returns {Promise<never>} */
const calledOff = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** What a field is called. @param {HTMLInputElement} field */
const nameOf = (field) => (field.id === 'size' ? 'Size' : field.labels[0].textContent.trim());
