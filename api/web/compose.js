/** The form in which a picture is ordered: two kinds of pictures, a manner, a size, a strength. */

import { submitJob } from './api.js';
import { Dropzone } from './dropzone.js';
import { multiplier, number, title } from './format.js';
import { keep } from './keepsakes.js';
import { showProblem } from './problem.js';

const element = (id) => document.getElementById(id);

export class Compose {
  /** @type {Map<string, import('./api.js').Preset>} */
  #presets = new Map();
  #form = element('compose');
  #problem = element('compose-problem');
  #submit = element('submit');
  #size = element('size');
  #strength = element('strength');
  #steps = element('steps');
  #content;
  #style;
  #onSubmitted;

  /** @param {(job: import('./api.js').Job) => void} onSubmitted */
  constructor(onSubmitted) {
    this.#onSubmitted = onSubmitted;
    const clear = () => showProblem(this.#problem, null);
    this.#content = new Dropzone(element('content'), clear);
    this.#style = new Dropzone(element('style'), clear);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#order();
    });
    this.#size.addEventListener('input', () => this.#markSize());
    this.#strength.addEventListener('input', () => this.#nameStrength());
    element('sizes').addEventListener('click', ({ target }) => {
      if (target.value) this.#setSize(target.value);
    });
  }

  /** @param {import('./api.js').Preset[]} presets  the first is chosen */
  setPresets(presets) {
    this.#presets = new Map(presets.map((preset) => [preset.name, preset]));
    element('presets').replaceChildren(...presets.map((preset) => this.#presetChip(preset)));
    this.#choosePreset(presets[0].name);
    this.#setSize(presets[0].parameters.size);
    this.#setBusy(false);
    showProblem(this.#problem, null);
  }

  /** Takes pictures that were dropped or pasted anywhere: the photograph first, then paintings. */
  take(pictures) {
    const [first, ...others] = pictures;
    if (this.#content.files.length > 0 || !this.#content.isUsed) return this.#style.add(pictures);
    this.#content.add([first]);
    this.#style.add(others);
  }

  /**
   * Fills the form from an earlier job, and the pictures where they are still known.
   *
   * @param {import('./api.js').Job} job
   * @param {?import('./api.js').Inputs} inputs
   */
  refill({ params }, inputs) {
    if (inputs) {
      this.#content.set(inputs.content ? [inputs.content] : []);
      this.#style.set(inputs.styles);
    }
    const preset = this.#presets.get(params.preset);
    if (!preset) return;
    this.#choosePreset(preset.name);
    this.#setSize(params.size);
    this.#strength.value = String(Math.log10(params.style_weight / preset.parameters.style_weight));
    this.#nameStrength();
    this.#steps.value = params.steps === preset.parameters.steps ? '' : params.steps;
    if (this.#steps.value) this.#steps.closest('details').open = true;
  }

  async #order() {
    const missing = this.#missing();
    showProblem(this.#problem, missing && new Error(missing.sentence));
    if (missing) return missing.field.focus();

    const inputs = {
      content: this.#content.isUsed ? this.#content.files[0] : null,
      styles: this.#style.isUsed ? this.#style.files : [],
    };
    this.#setBusy(true);
    try {
      const job = await submitJob(inputs, this.#params(), namesOf(inputs));
      await keep(job.id, inputs);
      this.#onSubmitted(job);
    } catch (problem) {
      showProblem(this.#problem, problem);
    } finally {
      this.#setBusy(false);
    }
  }

  /** The first thing that is still needed, as a sentence and the field to put it right. */
  #missing() {
    if (this.#content.isUsed && this.#content.files.length === 0)
      return { sentence: 'Choose a photograph first.', field: this.#content };
    if (this.#style.isUsed && this.#style.files.length === 0)
      return { sentence: 'Choose a painting for the style.', field: this.#style };
    const invalid = [this.#size, this.#steps].find((field) => !field.checkValidity());
    return invalid && { sentence: `${sentenceStart(invalid)}: ${invalid.validationMessage}`, field: invalid };
  }

  /** Only what differs from the preset, so that the preset stays in charge of the rest. */
  #params() {
    const preset = this.#preset();
    const params = { preset: preset.name };
    if (this.#size.value) params.size = this.#size.valueAsNumber;
    if (this.#steps.value) params.steps = this.#steps.valueAsNumber;
    const strength = this.#strength.valueAsNumber;
    if (strength !== 0) params.style_weight = preset.parameters.style_weight * multiplier(strength);
    return params;
  }

  #preset() {
    return this.#presets.get(new FormData(this.#form).get('preset'));
  }

  /** @param {import('./api.js').Preset} preset */
  #presetChip(preset) {
    const label = document.createElement('label');
    const radio = document.createElement('input');
    radio.type = 'radio';
    radio.name = 'preset';
    radio.value = preset.name;
    radio.setAttribute('aria-describedby', 'preset-summary');
    radio.addEventListener('change', () => this.#choosePreset(preset.name));
    const name = document.createElement('span');
    name.textContent = title(preset.name);
    label.append(radio, name);
    return label;
  }

  #choosePreset(name) {
    const preset = this.#presets.get(name);
    this.#form.elements.preset.value = name;
    const summary = element('preset-summary');
    summary.textContent = preset.summary;
    summary.title = preset.source;
    this.#steps.placeholder = preset.parameters.steps;
    this.#content.isUsed = preset.uses_content;
    this.#style.isUsed = preset.uses_styles;
  }

  #setSize(px) {
    this.#size.value = px;
    this.#markSize();
  }

  #markSize() {
    for (const chip of element('sizes').children)
      chip.setAttribute('aria-pressed', String(chip.value === this.#size.value));
  }

  #nameStrength() {
    const name = `${number(multiplier(this.#strength.valueAsNumber))}×`;
    element('strength-value').textContent = name;
    this.#strength.setAttribute('aria-valuetext', `${name} the preset’s style weight`);
  }

  #setBusy(busy) {
    this.#submit.disabled = busy;
    this.#submit.textContent = busy ? 'Handing it in …' : 'Paint';
  }
}

/** What the job is called later, here and in the gallery. @param {import('./api.js').Inputs} inputs */
const namesOf = ({ content, styles }) => ({
  content_name: content?.name,
  style_names: styles.map((style) => style.name),
});

const sentenceStart = (field) => (field.id === 'size' ? 'Size' : 'Steps');
