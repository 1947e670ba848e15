/** Every parameter there is, from the schema that the service tells: nothing here knows them by name but their order. */

import { setBounds } from './controls.js';
import { byId, part } from './dom.js';

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
  #fields = byId('drawer-fields', HTMLElement);
  #search = byId('drawer-search', HTMLInputElement);
  #sheet;
  /** Brings a row up to date. @type {(() => void)[]} */
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
    sheet.addEventListener('change', () => this.#update());
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

  /** @param {{pointer: string, detail: string}} [error]  is shown at its row */
  open(error) {
    this.#search.value = '';
    this.#filter();
    if (!this.#dialog.open) this.#dialog.showModal();
    if (!error) return;
    const name = error.pointer.replace(/^params\//, '').replaceAll('/', '.');
    const row = this.#rows.filter(({ dataset }) => name === dataset.name || name.startsWith(`${dataset.name}.`)).pop();
    if (!row) return;
    const sentence = row.appendChild(document.createElement('p'));
    sentence.className = 'field-problem';
    sentence.setAttribute('role', 'alert');
    sentence.textContent = error.detail;
    part(row, 'input, select', HTMLElement).focus();
  }

  /** @returns {HTMLElement[]} */
  get #rows() {
    return [...this.#fields.querySelectorAll('.parameter')].map((row) => /** @type {HTMLElement} */ (row));
  }

  #update() {
    for (const update of this.#updates) update();
    for (const sentence of this.#fields.querySelectorAll('.field-problem')) sentence.remove();
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
      label.htmlFor = control.element.id;
    }
    row.append(label, control?.element ?? '', hint, back);
    this.#updates.push(() => {
      const changed = this.#sheet.isChanged(name);
      row.classList.toggle('changed', changed);
      back.hidden = !changed || (parts.length > 0 && !control);
      row.hidden = name.includes('.') && !this.#sheet.get(name.split('.')[0]);
      control?.show(this.#sheet.get(name));
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
    return checkbox((on) => this.#sheet.set(name, on ? (this.#sheet.inherited(name) ?? whole()) : null));
  }

  /** @param {Field} field */
  #control({ name, schema, nullable }) {
    const set = (value) => this.#sheet.set(name, value);
    if (schema.enum) return choice(schema.enum, set);
    if (schema.type === 'boolean') return checkbox(set);
    if (schema.type === 'integer' || schema.type === 'number')
      return this.#number(name, schema, nullable);
    return json(set, nullable, schema);
  }

  /** @param {string} name @param {import('./parameters.js').Schema} schema @param {boolean} nullable */
  #number(name, schema, nullable) {
    const input = document.createElement('input');
    input.type = 'number';
    setBounds(input, schema);
    input.addEventListener('input', () => {
      if (input.validity.badInput || !input.checkValidity()) return;
      if (input.value !== '') this.#sheet.set(name, input.valueAsNumber);
      else if (nullable) this.#sheet.set(name, null);
      else this.#sheet.unset(name);
    });
    const show = (value) => {
      const decided = this.#sheet.isDecided(name);
      input.placeholder = decided ? 'worked out' : nullable ? 'none' : String(this.#sheet.inherited(name) ?? '');
      const text = decided || value == null ? '' : String(value);
      const same = input.value !== '' && Number(input.value) === Number(text);
      if (!same && (input !== document.activeElement || text !== '')) input.value = text;
    };
    return { element: input, show };
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

/** @param {any[]} values @param {(value: any) => void} set */
function choice(values, set) {
  const select = document.createElement('select');
  select.append(...values.map((value) => new Option(String(value))));
  select.addEventListener('change', () => set(values[select.selectedIndex]));
  return { element: select, show: (value) => (select.selectedIndex = values.indexOf(value)) };
}

/** @param {(value: boolean) => void} set */
function checkbox(set) {
  const input = document.createElement('input');
  input.type = 'checkbox';
  input.addEventListener('change', () => set(input.checked));
  return { element: input, show: (value) => (input.checked = Boolean(value)) };
}

/** Lists and layers, as JSON. @param {(value: any) => void} set @param {boolean} nullable */
function json(set, nullable, schema) {
  const input = document.createElement('input');
  input.type = 'text';
  input.spellcheck = false;
  input.autocomplete = 'off';
  if (nullable) input.placeholder = 'none';
  const example = schema.type === 'array' ? '[1, 2]' : '{"relu4_2": 1}';
  input.addEventListener('input', () => {
    input.setCustomValidity('');
    if (input.value.trim() === '' && nullable) return set(null);
    try {
      const value = JSON.parse(input.value);
      if (typeof value === 'object' && value !== null) return set(value);
    } catch {
      // Not finished.
    }
    input.setCustomValidity(`Expected JSON like ${example}`);
  });
  const show = (value) => {
    if (input === document.activeElement) return;
    input.setCustomValidity('');
    input.value = value == null ? '' : JSON.stringify(value).replaceAll(/([:,])/g, '$1 ');
  };
  return { element: input, show };
}
