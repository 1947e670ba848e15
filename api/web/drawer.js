/** Every parameter there is, from the schema that the service tells: nothing here knows them by name but their order. */

import { byId, element } from './dom.js';
import { controlOf, FieldProblems } from './fields.js';
import { setBounds, takeNumber, TypedField } from './typed.js';

/** Where each is found. What is not named here comes last. */
const GROUPS = {
  Picture: ['quality', 'size', 'aspect_ratio', 'steps', 'seed', 'color', 'output'],
  Beginning: ['init', 'noise'],
  Weights: ['content_weight', 'style_weight', 'tv_weight', 'content_layers', 'style_layers'],
  Paintings: ['style_scale', 'style_fit', 'mask_feather'],
  Losses: ['style_loss', 'gram_divisor', 'style_divisor', 'relative', 'tv_loss'],
  Network: ['activations', 'pooling', 'pooling_rescale', 'padding', 'precision'],
  Optimiser: [
    'optimizer', 'learning_rate', 'lr_decay', 'betas', 'history_size', 'line_search', 'max_step', 'coarse_first',
    'space', 'clamp', 'average',
  ],
  Levels: ['pyramid', 'warm_start'],
  End: ['plateau', 'deadline_seconds'],
};
/** What has a place of its own: the cards, and the sliders below the paintings. */
const ELSEWHERE = ['preset', 'style_weights'];

/** @typedef {import('./parameters.js').Field} Field */

export class Drawer {
  #dialog = byId('drawer', HTMLDialogElement);
  #fields = element('drawer-fields');
  #search = byId('drawer-search', HTMLInputElement);
  #sheet;
  #problems = new FieldProblems((pointer) => this.#rowOf(pointer));
  /** Brings a row up to date. @type {((change?: import('./parameters.js').SheetChange) => void)[]} */
  #updates = [];

  /** @param {import('./parameters.js').Sheet} sheet */
  constructor(sheet) {
    this.#sheet = sheet;
    byId('open-drawer', HTMLButtonElement).addEventListener('click', () => this.open());
    this.#search.addEventListener('input', () => this.#filter());
    this.#search.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') event.preventDefault(); // it would close the drawer
    });
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it
    });
    sheet.addEventListener('change', (change) => this.#update(change));
  }

  /** Makes the rows. To be called when the schema is known. */
  build() {
    const fields = this.#sheet.fields.filter(({ name }) => !ELSEWHERE.includes(name));
    const named = Object.values(GROUPS).flat();
    const groups = { ...GROUPS, Further: fields.map(({ name }) => name).filter((name) => !named.includes(name)) };
    this.#updates = [];
    const sections = Object.entries(groups).map(([title, names]) => {
      const found = names.flatMap((name) => fields.find((field) => field.name === name) ?? []);
      return found.length > 0 ? this.#group(title, found) : '';
    });
    this.#fields.replaceChildren(...sections);
    this.#update();
  }

  open() {
    this.#search.value = '';
    this.#filter();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Opens at the rows that are wrong. @param {import('./fields.js').FieldError[]} errors */
  openAt(errors) {
    if (!errors.some(({ pointer }) => this.#rowOf(pointer))) return;
    this.open();
    this.#problems.show(errors).first.focus();
  }

  /** The first field that is filled in wrongly. @returns {?HTMLInputElement} */
  get invalid() {
    return this.#fields.querySelector('input:invalid');
  }

  /** @returns {HTMLElement[]} */
  get #rows() {
    return [...this.#fields.querySelectorAll('.parameter')].map((row) => /** @type {HTMLElement} */ (row));
  }

  /** @param {string} pointer  `params/pyramid/steps/0` */
  #rowOf(pointer) {
    const name = pointer.replace(/^params\//, '').replaceAll('/', '.');
    return this.#rows.findLast(({ dataset }) => `${name}.`.startsWith(`${dataset.name}.`)) ?? null;
  }

  /** @param {import('./parameters.js').SheetChange} [change] */
  #update(change) {
    for (const update of this.#updates) update(change);
    for (const row of this.#problems.blocks)
      if (!controlOf(row)?.matches(':invalid')) this.#problems.takeBack(row);
  }

  /** Leaves what has the words in its name or description. */
  #filter() {
    const words = this.#search.value.toLowerCase().split(/\s+/);
    for (const row of this.#rows) {
      const text = row.dataset.name + row.querySelector('.hint').textContent.toLowerCase();
      row.classList.toggle('filtered', !words.every((word) => text.includes(word)));
    }
    for (const group of this.#fields.querySelectorAll('fieldset'))
      group.classList.toggle('filtered', !group.querySelector('.parameter:not(.filtered)'));
  }

  /** @param {string} title @param {Field[]} fields */
  #group(title, fields) {
    const group = document.createElement('fieldset');
    const legend = document.createElement('legend');
    legend.textContent = title;
    group.append(legend);
    for (const field of fields) {
      group.append(this.#row(field));
      for (const part of field.parts) group.append(this.#row(part));
    }
    return group;
  }

  /** @param {Field} field */
  #row(field) {
    const { name, schema, parts } = field;
    const row = document.createElement('div');
    row.className = 'parameter';
    row.dataset.name = name;
    row.classList.toggle('part', name.includes('.'));
    const label = document.createElement('label');
    label.textContent = name;
    const hint = document.createElement('p');
    hint.className = 'hint';
    hint.id = `about-${name.replace('.', '-')}`;
    hint.append(...withCode(schema.description));
    const back = document.createElement('button');
    back.type = 'button';
    back.className = 'link';
    back.textContent = 'as the manner has it';
    back.setAttribute('aria-label', `${name}: as the manner has it`);
    back.addEventListener('click', () => {
      this.#sheet.unset(name);
      control?.element.focus();
    });

    const control = parts.length > 0 ? this.#switch(field) : this.#control(field);
    if (control) {
      control.element.id = `parameter-${name.replace('.', '-')}`;
      control.element.setAttribute('aria-describedby', hint.id);
      control.element.addEventListener('change', () => this.#check(row, control.element, back));
      label.htmlFor = control.element.id;
    }
    row.append(label, control?.element ?? '', hint, back);
    this.#updates.push((change) => {
      control?.show(change?.concerns(name) ?? true);
      const changed = this.#sheet.isChanged(name);
      const canGoBack = changed || control?.element.matches(':invalid');
      row.classList.toggle('changed', changed);
      back.hidden = !canGoBack || (parts.length > 0 && !control);
      row.hidden = name.includes('.') && !this.#sheet.get(name.split('.')[0]);
    });
    return row;
  }

  /**
   * Whether an object is there at all; its parts have rows of their own.
   *
   * @param {Field} field
   */
  #switch({ name, nullable, parts }) {
    if (!nullable) return null;
    const whole = () => Object.fromEntries(parts.map((part) => [part.name.split('.')[1], part.schema.default]));
    const set = (on) => this.#sheet.set(name, on ? (this.#sheet.inherited(name) ?? whole()) : null);
    return checkbox(() => this.#sheet.get(name), set);
  }

  /** @param {Field} field */
  #control(field) {
    const { name, schema } = field;
    const get = () => this.#sheet.get(name);
    const set = (value) => this.#sheet.set(name, value);
    if (schema.enum) return choice(schema.enum, get, set);
    if (schema.type === 'boolean') return checkbox(get, set);
    if (schema.type === 'integer' || schema.type === 'number') return this.#number(field);
    return jsonField(field, get, set);
  }

  /** @param {Field} field */
  #number({ name, schema, nullable }) {
    const input = document.createElement('input');
    input.type = 'number';
    setBounds(input, schema);
    const set = (value) =>
      value === null && !nullable ? this.#sheet.unset(name) : this.#sheet.set(name, value);
    const text = () => {
      const decided = this.#sheet.isDecided(name);
      input.placeholder = decided ? 'worked out' : nullable ? 'none' : String(this.#sheet.inherited(name) ?? '');
      return decided ? '' : String(this.#sheet.get(name) ?? '');
    };
    return new TypedField(input, () => takeNumber(input, set), text);
  }

  /**
   * Says at a row what is wrong with what was typed there.
   *
   * @param {HTMLElement} row
   * @param {HTMLInputElement | HTMLSelectElement} control
   * @param {HTMLElement} back  the way out
   */
  #check(row, control, back) {
    if (control.validity.valid) return; // what was said has been taken back already
    this.#problems.tell(row, control.validationMessage);
    back.hidden = false;
  }
}

/** Names in backticks as code. @param {string} text @returns {Node[]} */
function withCode(text) {
  return text.split('`').map((piece, index) => {
    const node = document.createElement(index % 2 ? 'code' : 'span');
    node.textContent = piece;
    return node;
  });
}

/**
 * @typedef {object} Control
 * @property {HTMLInputElement | HTMLSelectElement} element
 * @property {(isNews: boolean) => void} show  brings it up to date
 */

/** @param {any[]} values @param {() => any} get @param {(value: any) => void} set @returns {Control} */
function choice(values, get, set) {
  const select = document.createElement('select');
  select.append(...values.map((value) => new Option(String(value))));
  select.addEventListener('change', () => set(values[select.selectedIndex]));
  return { element: select, show: () => (select.selectedIndex = values.indexOf(get())) };
}

/** @param {() => any} get @param {(value: any) => void} set @returns {Control} */
function checkbox(get, set) {
  const input = document.createElement('input');
  input.type = 'checkbox';
  input.addEventListener('change', () => set(input.checked));
  return { element: input, show: () => (input.checked = Boolean(get())) };
}

/**
 * Lists and layers.
 *
 * @param {Field} field
 * @param {() => any} get
 * @param {(value: any) => void} set
 * @returns {Control}
 */
function jsonField({ schema, nullable }, get, set) {
  const input = document.createElement('input');
  input.type = 'text';
  input.spellcheck = false;
  input.autocomplete = 'off';
  if (nullable) input.placeholder = 'none';
  const example = schema.type === 'array' ? '[1, 2]' : '{"relu4_2": 1}';
  const take = () => {
    input.setCustomValidity('');
    if (input.value.trim() === '' && nullable) return set(null);
    try {
      const value = JSON.parse(input.value);
      if (typeof value === 'object' && value !== null) return set(value);
    } catch {
      // Not finished.
    }
    input.setCustomValidity(`Expected JSON like ${example}.`);
  };
  const text = () => (get() == null ? '' : JSON.stringify(get()).replaceAll(/([:,])/g, '$1 '));
  return new TypedField(input, take, text);
}
