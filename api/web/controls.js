/** The controls of the panel: each shows a parameter of the sheet in an artist's words, and sets it. */

import { byId, part } from './dom.js';
import { multiplier, number } from './format.js';

/** @param {string} id */
const element = (id) => byId(id, HTMLElement);
/** @param {string} id */
const inputOf = (id) => byId(id, HTMLInputElement);
/** @param {string} id */
const selectOf = (id) => byId(id, HTMLSelectElement);
const MAX_ROLLED_SEED = 2 ** 32;

export class Controls {
  #sheet;
  #size = inputOf('size');
  #strength = inputOf('strength');
  #strokes = inputOf('strokes');
  #feather = inputOf('feather');
  #sizes = element('sizes').querySelectorAll('button');

  /** @param {import('./parameters.js').Sheet} sheet */
  constructor(sheet) {
    this.#sheet = sheet;
    this.#bindNumbers();
    this.#bindSliders();
    this.#bindChoices();
    for (const chip of this.#sizes) chip.addEventListener('click', () => sheet.set('size', Number(chip.value)));
    element('roll').addEventListener('click', () => sheet.set('seed', Math.floor(MAX_ROLLED_SEED * Math.random())));
    sheet.addEventListener('change', () => this.#show());
  }

  /** Bounds as the service has them. @param {import('./pictures.js').Limits} limits */
  setBounds(limits) {
    for (const [name, id] of Object.entries(NUMBERS)) {
      const { schema } = fieldNamed(this.#sheet, name);
      setBounds(inputOf(id), schema);
    }
    if (limits.max_size_px) this.#size.max = String(limits.max_size_px);
    const feather = fieldNamed(this.#sheet, 'mask_feather').schema;
    setBounds(this.#feather, feather);
    this.#feather.step = '0.01';
  }

  /** The first that is filled in wrongly. @returns {?HTMLInputElement} */
  get invalid() {
    return Object.values(NUMBERS).map(inputOf).find((input) => !input.checkValidity()) ?? null;
  }

  /** Whether there is a border of a mask to be blended. @param {boolean} yes */
  set hasMasks(yes) {
    element('feather-field').hidden = !yes;
  }

  #bindNumbers() {
    for (const [name, id] of Object.entries(NUMBERS)) {
      const input = inputOf(id);
      input.addEventListener('input', () => {
        if (input.value === '' && !input.validity.badInput) this.#sheet.unset(name);
        else if (input.checkValidity()) this.#sheet.set(name, input.valueAsNumber);
      });
      // A number that nobody finished gives way to the one that counts.
      if (id !== 'steps') input.addEventListener('change', () => input.checkValidity() && this.#show());
    }
  }

  #bindSliders() {
    this.#strength.addEventListener('input', () => {
      const weight = this.#sheet.preset.parameters.style_weight * multiplier(this.#strength.valueAsNumber);
      this.#sheet.set('style_weight', weight);
    });
    this.#strokes.addEventListener('input', () => {
      const scale = this.#sheet.inherited('style_scale') * multiplier(this.#strokes.valueAsNumber);
      this.#sheet.set('style_scale', Number(scale.toPrecision(3)));
    });
    this.#feather.addEventListener('input', () => this.#sheet.set('mask_feather', this.#feather.valueAsNumber));
  }

  #bindChoices() {
    for (const [name, id] of Object.entries(SELECTS))
      selectOf(id).addEventListener('change', () => this.#sheet.set(name, selectOf(id).value));
    for (const [name, id] of Object.entries(RADIOS))
      for (const radio of element(id).querySelectorAll('input'))
        radio.addEventListener('change', () => this.#sheet.set(name, radio.value));
  }

  #show() {
    const sheet = this.#sheet;
    for (const [name, id] of Object.entries(NUMBERS)) this.#showNumber(inputOf(id), name);
    for (const [name, id] of Object.entries(SELECTS)) selectOf(id).value = sheet.get(name);
    for (const [name, id] of Object.entries(RADIOS))
      part(element(id), `[value="${CSS.escape(sheet.get(name))}"]`, HTMLInputElement).checked = true;
    for (const chip of this.#sizes)
      chip.setAttribute('aria-pressed', String(Number(chip.value) === sheet.get('size')));
    element('file-quality-field').hidden = !['jpeg', 'webp'].includes(sheet.get('output.format'));
    element('aspect-field').hidden = sheet.usesContent;
    this.#showStrength();
    this.#showStrokes();
    const feather = sheet.get('mask_feather');
    if (this.#feather.valueAsNumber !== feather) this.#feather.value = String(feather);
    name(this.#feather, element('feather-value'), `${number(100 * feather)} %`, 'of the long side');
  }

  /** @param {HTMLInputElement} input @param {string} name */
  #showNumber(input, name) {
    const isShown = ALWAYS_SHOWN.includes(name) || this.#sheet.isChanged(name);
    const value = isShown ? String(this.#sheet.get(name) ?? '') : '';
    // What somebody is typing is theirs, as long as it says the same.
    if (input !== document.activeElement || input.value === '' || Number(input.value) !== Number(value)) {
      if (input !== document.activeElement || input.checkValidity()) input.value = value;
    }
    if (name === 'steps')
      input.placeholder = this.#sheet.isDecided(name) ? '' : String(this.#sheet.inherited(name));
  }

  #showStrength() {
    const usual = this.#sheet.inherited('style_weight');
    const times = usual > 0 ? this.#sheet.get('style_weight') / usual : 1;
    this.#strength.disabled = usual === 0;
    show(this.#strength, Math.log10(times));
    name(this.#strength, element('strength-value'), `${number(times)}×`, 'the preset’s style weight');
  }

  #showStrokes() {
    const times = this.#sheet.get('style_scale') / this.#sheet.inherited('style_scale');
    show(this.#strokes, Math.log10(times));
    name(this.#strokes, element('strokes-value'), `${number(times)}×`, 'the size of the painting’s strokes');
  }
}

/** Parameters that are typed, and where. */
const NUMBERS = {
  size: 'size',
  steps: 'steps',
  seed: 'seed',
  aspect_ratio: 'aspect',
  'output.quality': 'file-quality',
};
const ALWAYS_SHOWN = ['size', 'seed', 'output.quality'];
const SELECTS = { init: 'init', 'output.format': 'format' };
const RADIOS = { color: 'colours', quality: 'qualities' };

/**
 * @param {import('./parameters.js').Sheet} sheet
 * @param {string} name
 * @returns {import('./parameters.js').Field}
 */
export const fieldNamed = (sheet, name) =>
  sheet.fields.flatMap((field) => [field, ...field.parts]).find((field) => field.name === name);

/** @param {HTMLInputElement} input @param {import('./parameters.js').Schema} schema  of a number */
export function setBounds(input, schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low !== undefined) input.min = String(low);
  if (high !== undefined) input.max = String(Math.min(high, Number.MAX_SAFE_INTEGER));
  input.step = schema.type === 'integer' ? '1' : 'any';
}

/** Moves a slider, unless it says that already: an even step is not worth a jump. */
function show(slider, value) {
  if (Math.abs(slider.valueAsNumber - value) > Number(slider.step) / 2) slider.value = String(value);
}

/** What a slider's place means, to see and to hear. */
function name(slider, output, value, of) {
  output.textContent = value;
  slider.setAttribute('aria-valuetext', `${value} ${of}`);
}
