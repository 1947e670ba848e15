/** Fields that somebody types into. */

/** What is typed is theirs until they leave the field, and stays in it as long as it is wrong. */
export class TypedField {
  #text;

  /**
   * @param {HTMLInputElement} input
   * @param {() => void} take  takes what is typed, if it is right
   * @param {() => string} text  what the field would show
   */
  constructor(input, take, text) {
    this.element = input;
    this.#text = text;
    input.addEventListener('input', take);
    input.addEventListener('blur', () => this.show());
  }

  /** @param {boolean} [isNews]  whether what it shows may have changed: then it counts more than what is wrong */
  show(isNews = false) {
    const input = this.element;
    if (input === document.activeElement || (!isNews && !input.validity.valid)) return;
    input.setCustomValidity('');
    input.value = this.#text();
  }
}

/** @param {HTMLInputElement} input @param {import('./parameters.js').Schema} schema  of a number */
export function setBounds(input, schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low !== undefined) input.min = String(low);
  if (high !== undefined) input.max = String(Math.min(high, Number.MAX_SAFE_INTEGER));
  input.step = schema.type === 'integer' ? '1' : 'any';
}

/**
 * Takes a number as it is typed.
 *
 * @param {HTMLInputElement} input
 * @param {(number: ?number) => void} set  null when there is none
 */
export function takeNumber(input, set) {
  if (input.validity.valid) set(input.value === '' ? null : input.valueAsNumber);
}
