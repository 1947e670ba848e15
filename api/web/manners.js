/** The presets as cards, each with a picture of what it does to the same photograph. */

import { byId } from './dom.js';
import { title } from './format.js';

export class Manners {
  #element = byId('presets', HTMLElement);
  #summary = byId('preset-summary', HTMLElement);
  #sheet;

  /** @param {import('./parameters.js').Sheet} sheet */
  constructor(sheet) {
    this.#sheet = sheet;
    sheet.addEventListener('change', () => this.#show());
  }

  /** @param {import('./api.js').Preset[]} presets */
  setPresets(presets) {
    this.#element.replaceChildren(...presets.map((preset) => this.#card(preset)));
    this.#show();
  }

  /** @param {import('./api.js').Preset} preset */
  #card({ name }) {
    const card = document.createElement('label');
    card.className = 'manner';
    const radio = document.createElement('input');
    radio.type = 'radio';
    radio.name = 'preset';
    radio.value = name;
    radio.setAttribute('aria-describedby', 'preset-summary');
    radio.addEventListener('change', () => this.#sheet.choose(name));
    const picture = document.createElement('img');
    picture.alt = '';
    picture.loading = 'lazy';
    // A preset that is newer than its picture.
    picture.addEventListener('error', () => picture.remove());
    picture.src = `/web/presets/${encodeURIComponent(name)}.jpg`;
    const caption = document.createElement('span');
    caption.textContent = title(name);
    card.append(radio, picture, caption);
    return card;
  }

  #show() {
    const { name, summary, source } = this.#sheet.preset;
    for (const radio of this.#element.querySelectorAll('input')) radio.checked = radio.value === name;
    this.#summary.textContent = summary;
    this.#summary.title = source;
  }
}
