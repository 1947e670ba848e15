/** The losses of a job over its steps, as a chart, as numbers and as a table. */

import { part, setText } from './dom.js';
import { number } from './format.js';
import { NAMES } from './losses.js';

/** @typedef {import('./losses.js').Point} Point */

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT_PX = 132;
const MARGIN = { top: 8, right: 4, bottom: 18, left: 34 }; // px, for the labels
const MAX_DECADES = 5; // below the highest loss: what is smaller than that decides nothing
const TABLE_ROWS = 12;

export class Curves {
  #figure;
  #svg;
  #caption;
  /** @type {Point[]} */
  #points = [];
  #totalSteps = 1;
  /** @type {?number} step that somebody looks at; null: the newest */
  #marked = null;
  /** @type {?number} step that the pointer is at */
  #hovered = null;
  #width = 0;
  /** @type {(step: number) => void} */
  onPick = () => {};

  /** @param {HTMLElement} figure  with a caption, an SVG, fields with `data-loss` and a table */
  constructor(figure) {
    this.#figure = figure;
    this.#svg = /** @type {SVGSVGElement} */ (figure.querySelector('svg'));
    this.#caption = part(figure, 'figcaption', HTMLElement);
    new ResizeObserver(([{ contentRect }]) => {
      this.#width = contentRect.width;
      this.#draw();
    }).observe(this.#svg);
    this.#svg.addEventListener('pointermove', (event) => this.#hover(this.#nearest(event)?.step ?? null));
    this.#svg.addEventListener('pointerleave', () => this.#hover(null));
    this.#svg.addEventListener('click', (event) => {
      const point = this.#nearest(event);
      if (point) this.onPick(point.step);
    });
    this.#figure.querySelector('details')?.addEventListener('toggle', () => this.#tabulate());
  }

  /** @param {Point[]} points  in the order of their steps @param {number} totalSteps */
  show(points, totalSteps) {
    this.#points = points;
    this.#totalSteps = Math.max(totalSteps, points.at(-1)?.step ?? 1);
    this.#figure.hidden = points.length === 0;
    this.#svg.toggleAttribute('hidden', points.length < 2);
    this.#svg.setAttribute('aria-label', this.#summary());
    this.#draw();
    this.#tabulate();
    this.#tell();
  }

  /** Marks the step of the picture that is shown. @param {?number} step  null: the newest */
  mark(step) {
    this.#marked = step;
    this.#draw();
    this.#tell();
  }

  /** @param {?number} step */
  #hover(step) {
    this.#hovered = step;
    this.#tell();
  }

  #markedPoint() {
    if (this.#marked === null) return this.#points.at(-1);
    return closest(this.#points, this.#marked);
  }

  /** @param {PointerEvent | MouseEvent} event */
  #nearest({ offsetX }) {
    const share = (offsetX - MARGIN.left) / (this.#width - MARGIN.left - MARGIN.right);
    return closest(this.#points, share * this.#totalSteps);
  }

  /** The numbers of one step: that at which the pointer is, or which is marked. */
  #tell() {
    const point = this.#hovered === null ? this.#markedPoint() : closest(this.#points, this.#hovered);
    if (!point) return;
    this.#caption.textContent = `Losses at step ${point.step}`;
    for (const name of NAMES) {
      const field = this.#figure.querySelector(`[data-loss=${name}]`);
      if (field) field.textContent = number(point[name]);
    }
  }

  #draw() {
    this.#svg.replaceChildren();
    if (this.#width === 0 || this.#points.length < 2) return;
    this.#svg.setAttribute('viewBox', `0 0 ${this.#width} ${HEIGHT_PX}`);
    const values = this.#points.flatMap((point) => NAMES.map((name) => point[name])).filter((value) => value > 0);
    if (values.length === 0) return;
    const top = Math.log10(Math.max(...values));
    const low = Math.max(Math.log10(Math.min(...values)), top - MAX_DECADES);
    const middle = (top + low) / 2;
    const half = Math.max((top - low) / 2, 0.5) * 1.06;
    const inner = { width: this.#width - MARGIN.left - MARGIN.right, height: HEIGHT_PX - MARGIN.top - MARGIN.bottom };
    /** @param {number} step */
    const x = (step) => round(MARGIN.left + (inner.width * step) / this.#totalSteps);
    /** @param {number} value */
    const y = (value) => round(MARGIN.top + (inner.height * (middle + half - Math.log10(value))) / (2 * half));

    for (const value of ticks(10 ** (middle - half), 10 ** (middle + half))) {
      this.#add('line', { class: 'grid', x1: x(0), x2: x(this.#totalSteps), y1: y(value), y2: y(value) });
      this.#add('text', { x: MARGIN.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, number(value));
    }
    this.#points.forEach((point, index) => {
      const before = this.#points[index - 1]?.level;
      if (before && point.level && point.level !== before)
        this.#add('line', { class: 'level', x1: x(point.step), x2: x(point.step), y1: MARGIN.top, y2: HEIGHT_PX - MARGIN.bottom });
    });
    this.#add('text', { x: x(0), y: HEIGHT_PX - 3 }, '0');
    this.#add('text', { x: x(this.#totalSteps), y: HEIGHT_PX - 3, 'text-anchor': 'end' }, `${this.#totalSteps} steps`);
    const lowest = 10 ** (middle - half);
    for (const name of [...NAMES].reverse()) {
      const shown = this.#points.filter((point) => point[name] > 0);
      const line = shown.map((point) => `${x(point.step)},${y(Math.max(point[name], lowest))}`).join(' ');
      this.#add('polyline', { class: name, points: line });
    }
    const marked = this.#markedPoint();
    if (!marked) return;
    if (this.#marked !== null)
      this.#add('line', { class: 'mark', x1: x(marked.step), x2: x(marked.step), y1: MARGIN.top, y2: HEIGHT_PX - MARGIN.bottom });
    if (marked.total > 0) this.#add('circle', { class: 'total', cx: x(marked.step), cy: y(marked.total), r: 3 });
  }

  /** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
  #add(name, attributes, text = '') {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    element.textContent = text;
    this.#svg.append(element);
  }

  #summary() {
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    if (!first || !last) return '';
    return (
      `Losses over the steps. The total is ${number(first.total)} at step ${first.step} and` +
      ` ${number(last.total)} at step ${last.step}.`
    );
  }

  /** Fills the table while it is open; rows stay where they are, since somebody reads them. */
  #tabulate() {
    const details = this.#figure.querySelector('details');
    if (!details?.open) return;
    const body = part(details, 'tbody', HTMLTableSectionElement);
    const newest = this.#points.length - 1;
    const every = Math.max(1, Math.ceil(this.#points.length / TABLE_ROWS));
    const shown = this.#points.filter((_, index) => index % every === 0 || index === newest);
    while (body.rows.length > shown.length) body.deleteRow(-1);
    while (body.rows.length < shown.length) body.append(emptyRow());
    shown.forEach((point, index) => {
      const texts = [String(point.step), ...NAMES.map((name) => number(point[name]))];
      texts.forEach((text, column) => setText(body.rows[index].cells[column], text));
    });
  }
}

/** A step and its losses. */
function emptyRow() {
  const row = document.createElement('tr');
  const step = document.createElement('th');
  step.scope = 'row';
  row.append(step, ...NAMES.map(() => document.createElement('td')));
  return row;
}

/** @param {Point[]} points @param {number} step @returns {Point | undefined} */
function closest(points, step) {
  /** @type {Point | undefined} */
  let best;
  for (const point of points)
    if (!best || Math.abs(point.step - step) < Math.abs(best.step - step)) best = point;
  return best;
}

/**
 * Round values in a range, some four of them: 1, 2, 5, 10 and so on, or whole powers of ten.
 *
 * @param {number} from
 * @param {number} to
 */
function ticks(from, to) {
  const decades = Math.log10(to / from);
  const every = Math.max(1, Math.ceil(decades / 4));
  const steps = decades < 1.5 ? [1, 2, 5] : [1];
  const values = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power += 1)
    if (power % every === 0) values.push(...steps.map((step) => Number(`${step}e${power}`)));
  return values.filter((value) => from <= value && value <= to);
}

/** @param {number} value */
const round = (value) => Math.round(10 * value) / 10;

