/** The controls of the panel: each shows a parameter of the sheet in an artist's words, and sets it. */

import { byId, element, part } from './dom.js';
import { multiplier, number } from './format.js';
import { setBounds, takeNumber, TypedField } from './typed.js';

/** @param {string} id */
const inputOf = (id) => byId(id, HTMLInputElement);
/** @param {string} id */
const selectOf = (id) => byId(id, HTMLSelectElement);
const MAX_ROLLED_SEED = 2 ** 32;

export class Controls {
  #sheet;
  #strength = inputOf('strength');
  #strokes = inputOf('strokes');
  #feather = inputOf('feather');
  #sizes = element('sizes').querySelectorAll('button');
  /** @type {[string, TypedField][]} */
  #numbers;

  /** @param {import('./parameters.js').Sheet} sheet */
  constructor(sheet) {
    this.#sheet = sheet;
    this.#numbers = Object.entries(NUMBERS).map(([name, id]) => [name, this.#number(name, inputOf(id))]);
    this.#bindSliders();
    this.#bindChoices();
    for (const chip of this.#sizes) chip.addEventListener('click', () => sheet.set('size', Number(chip.value)));
    element('roll').addEventListener('click', () => sheet.set('seed', Math.floor(MAX_ROLLED_SEED * Math.random())));
    sheet.addEventListener('change', (change) => this.#show(change));
  }

  /** Bounds as the service has them. @param {import('./pictures.js').Limits} limits */
  setLimits(limits) {
    for (const [name, { element: input }] of this.#numbers) setBounds(input, this.#sheet.field(name).schema);
    if (limits.max_size_px) inputOf('size').max = String(limits.max_size_px);
    setBounds(this.#feather, this.#sheet.field('mask_feather').schema);
    this.#feather.step = '0.01';
    for (const [name, { id }] of Object.entries(OCTAVES)) {
      const { min, max } = inputOf(NUMBERS[name]);
      Object.assign(inputOf(id), { min: String(Math.log2(Number(min))), max: String(Math.log2(Number(max))) });
    }
  }

  /** The first that is filled in wrongly. @returns {?HTMLInputElement} */
  get invalid() {
    return Object.values(NUMBERS).map(inputOf).find(({ validity }) => !validity.valid) ?? null;
  }

  /** Whether there is a border of a mask to be blended. @param {boolean} yes */
  set hasMasks(yes) {
    element('feather-field').hidden = !yes;
  }

  /** @param {string} name @param {HTMLInputElement} input */
  #number(name, input) {
    const set = (value) => (value === null ? this.#sheet.unset(name) : this.#sheet.set(name, value));
    const text = () => {
      const isShown = ALWAYS_SHOWN.includes(name) || this.#sheet.isChanged(name);
      return isShown ? String(this.#sheet.get(name) ?? '') : '';
    };
    return new TypedField(input, () => takeNumber(input, set), text);
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
    for (const [name, { id, round }] of Object.entries(OCTAVES)) {
      const most = () => Number(inputOf(NUMBERS[name]).max);
      inputOf(id).addEventListener('input', () =>
        this.#sheet.set(name, Math.min(most(), round(2 ** inputOf(id).valueAsNumber))),
      );
    }
  }

  #bindChoices() {
    for (const [name, id] of Object.entries(SELECTS))
      selectOf(id).addEventListener('change', () => this.#sheet.set(name, selectOf(id).value));
    for (const [name, id] of Object.entries(RADIOS))
      for (const radio of element(id).querySelectorAll('input'))
        radio.addEventListener('change', () => this.#sheet.set(name, radio.value));
  }

  /** @param {import('./parameters.js').SheetChange} change */
  #show(change) {
    const sheet = this.#sheet;
    for (const [name, field] of this.#numbers) {
      field.show(change.concerns(name));
      field.element.placeholder = sheet.isDecided(name) ? '' : String(sheet.inherited(name) ?? '');
    }
    for (const [name, id] of Object.entries(SELECTS)) selectOf(id).value = sheet.get(name);
    for (const [name, id] of Object.entries(RADIOS))
      part(element(id), `[value="${CSS.escape(sheet.get(name))}"]`, HTMLInputElement).checked = true;
    for (const chip of this.#sizes)
      chip.setAttribute('aria-pressed', String(Number(chip.value) === sheet.get('size')));
    element('file-quality-field').hidden = !['jpeg', 'webp'].includes(sheet.get('output.format'));
    element('aspect-field').hidden = sheet.usesContent;
    for (const [name, { id, round, words }] of Object.entries(OCTAVES)) {
      const slider = inputOf(id);
      if (round(2 ** slider.valueAsNumber) !== sheet.get(name)) slider.value = String(Math.log2(sheet.get(name)));
      slider.setAttribute('aria-valuetext', sheet.isDecided(name) ? 'decided for you' : words(sheet.get(name)));
    }
    this.#showStrength();
    this.#showStrokes();
    const feather = sheet.get('mask_feather');
    if (this.#feather.valueAsNumber !== feather) this.#feather.value = String(feather);
    describe(this.#feather, element('feather-value'), `${number(100 * feather)} %`, 'of the long side');
  }

  #showStrength() {
    const usual = this.#sheet.inherited('style_weight');
    const times = usual > 0 ? this.#sheet.get('style_weight') / usual : 1;
    this.#strength.disabled = usual === 0;
    move(this.#strength, Math.log10(times));
    describe(this.#strength, element('strength-value'), `${number(times)}×`, 'the preset’s style weight');
  }

  #showStrokes() {
    const times = this.#sheet.get('style_scale') / this.#sheet.inherited('style_scale');
    move(this.#strokes, Math.log10(times));
    describe(this.#strokes, element('strokes-value'), `${number(times)}×`, 'the size of the painting’s strokes');
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

/** Sliders beside a number, on which twice as much is as far everywhere; their numbers are easy to say. */
const OCTAVES = {
  size: { id: 'size-slider', round: (px) => 2 * Math.round(px / 2), words: (px) => `${px} px` },
  steps: {
    id: 'steps-slider',
    round: (steps) => Number(Math.round(steps).toPrecision(2)),
    words: (steps) => `${steps} steps`,
  },
};

/** Moves a slider, unless it says that already: an even step is not worth a jump. */
function move(slider, value) {
  const place = Math.max(Number(slider.min), value); // a weight of 0 is infinitely far to the left
  if (Math.abs(slider.valueAsNumber - place) > Number(slider.step) / 2) slider.value = String(place);
}

/** What a slider's place means, to see and to hear. */
function describe(slider, output, value, of) {
  output.textContent = value;
  slider.setAttribute('aria-valuetext', `${value} ${of}`);
}
