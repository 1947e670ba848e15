/**
 * What a job asks for: a preset, and the values in which the job differs from it.
 *
 * One sheet for all controls, those of the panel and those of the drawer: each shows and sets the same values.
 * Names are those of the schema, parts of a parameter with a dot: `pyramid.min_size`.
 */

/**
 * @typedef {Record<string, any>} Schema  a JSON Schema
 * @typedef {Record<string, any>} Values
 *
 * @typedef {object} Field         one parameter, or a part of one
 * @property {string} name
 * @property {Schema} schema       of the value, its references followed
 * @property {boolean} nullable    whether it may be null
 * @property {Field[]} parts       of an object with parts of its own
 */

/**
 * What the service works out from other values, unless the request names it (shared/parameters.py): its
 * preset's value is not what comes out once those others differ.
 */
export const DECIDED_BY = {
  steps: ['quality'],
  learning_rate: ['optimizer', 'space'],
  'pyramid.steps': ['quality', 'steps'],
};
/** Objects of which a request may name some parts only. */
export const MERGED = ['noise', 'pyramid', 'output'];

/** Some parameters have other values. */
export class SheetChange extends Event {
  #names;

  /** @param {?string[]} names  null: all of them may */
  constructor(names) {
    super('change');
    this.#names = names;
  }

  /** Whether a parameter, something it is a part of, or a part of it has another value. @param {string} name */
  concerns(name) {
    const parent = name.split('.')[0];
    return !this.#names || this.#names.some((other) => [name, parent].includes(other) || other.startsWith(`${name}.`));
  }
}

/** Tells of every change with a `SheetChange`. */
export class Sheet extends EventTarget {
  /** @type {Map<string, import('./api.js').Preset>} */
  #presets = new Map();
  /** @type {?import('./api.js').Preset} */
  #preset = null;
  /** @type {Values} */
  #values = {};
  /** Names that somebody has set. @type {Set<string>} */
  #named = new Set();
  /** Of the style weight over the preset's, so that it lasts from preset to preset. */
  #strength = 1;

  /** @type {Field[]} in the schema's order */
  fields = [];

  /** @param {import('./api.js').Preset[]} presets @param {Schema} schema  of all parameters */
  setCatalog(presets, schema) {
    this.#presets = new Map(presets.map((preset) => [preset.name, preset]));
    this.fields = fieldsOf(schema, schema.$defs ?? {});
    this.#preset = presets[0];
    this.#values = structuredClone(this.#preset.parameters);
    this.#tell();
  }

  /** @returns {?import('./api.js').Preset} */
  get preset() {
    return this.#preset;
  }

  /** @param {string} name @returns {Field} */
  field(name) {
    return this.fields.flatMap((field) => [field, ...field.parts]).find((field) => field.name === name);
  }

  /** @param {string} name */
  has(name) {
    return this.#presets.has(name);
  }

  /** Whether a photograph is needed, as `Parameters.uses_content` has it. */
  get usesContent() {
    const { content_weight, content_layers, init, color } = this.#values;
    return counts(content_weight, content_layers) || init === 'content' || color !== 'style';
  }

  /** Whether paintings are needed, as `Parameters.uses_styles` has it. */
  get usesStyles() {
    const { style_weight, style_layers, init } = this.#values;
    return counts(style_weight, style_layers) || init === 'style';
  }

  /** Takes another preset; what somebody has set stays as it was set. @param {string} name */
  choose(name) {
    const changes = Object.fromEntries(this.changed.map((key) => [key, this.#values[key]]));
    delete changes.style_weight;
    this.#preset = this.#presets.get(name);
    this.#values = { ...structuredClone(this.#preset.parameters), ...changes };
    this.#values.style_weight = this.#strength * this.#preset.parameters.style_weight;
    this.#tell();
  }

  /** Forgets everything that was set. */
  reset() {
    this.#named.clear();
    this.#strength = 1;
    this.#values = structuredClone(this.#preset.parameters);
    this.#tell();
  }

  /** Takes every value of an earlier job. @param {Values} params */
  fill(params) {
    this.#preset = this.#presets.get(params.preset) ?? this.#preset;
    this.#values = { ...structuredClone(this.#preset.parameters), ...structuredClone(params) };
    this.#named = new Set(Object.keys(DECIDED_BY));
    this.#noteStrength();
    this.#tell();
  }

  /** Takes what `toJSON` wrote, if all of it is still known here. @param {Values} json @returns {boolean} whether it is */
  restore({ preset, ...changes }) {
    const named = Object.entries(changes).flatMap(([name, value]) => [
      name,
      ...(MERGED.includes(name) ? Object.keys(value ?? {}).map((part) => `${name}.${part}`) : []),
    ]);
    if (!this.has(preset) || !named.every((name) => this.field(name))) return false;
    this.#preset = this.#presets.get(preset);
    this.#values = structuredClone(this.#preset.parameters);
    for (const [name, value] of Object.entries(changes)) {
      const inherited = MERGED.includes(name) && value ? this.#values[name] : null;
      this.#values[name] = inherited ? { ...inherited, ...value } : value;
    }
    this.#named = new Set(named);
    this.#noteStrength();
    this.#tell();
    return true;
  }

  /** @param {string} name @returns {any} */
  get(name) {
    return valueAt(this.#values, name);
  }

  /** What the preset has. @param {string} name @returns {any} */
  inherited(name) {
    return valueAt(this.#preset.parameters, name);
  }

  /**
   * Whether the service works it out: what the sheet has is then not what comes out.
   *
   * @param {string} name
   */
  isDecided(name) {
    return !this.#named.has(name) && this.#isUnsettled(name);
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    this.#named.add(name);
    this.#put(name, value);
    this.#follow(name);
  }

  /** Back to what the preset has. @param {string} name */
  unset(name) {
    this.#forget(name);
    this.#follow(name);
  }

  /** Whether a request would name it. @param {string} name */
  isChanged(name) {
    if (!isEqual(this.get(name), this.inherited(name))) return true;
    return this.#isUnsettled(name) && this.#named.has(name);
  }

  /** Names of the parameters, without parts, that a request would name. @returns {string[]} */
  get changed() {
    return this.fields
      .filter(({ name, parts }) => this.isChanged(name) || parts.some((part) => this.isChanged(part.name)))
      .map(({ name }) => name);
  }

  /** What is posted: only what differs from the preset, so that the preset stays in charge of the rest. */
  toJSON() {
    const params = { preset: this.#preset.name };
    for (const name of this.changed) params[name] = this.#changesOf(name);
    return params;
  }

  /** The value of a parameter, or those of its parts that are changed. @param {string} name */
  #changesOf(name) {
    const [value, inherited] = [this.#values[name], this.#preset.parameters[name]];
    if (!MERGED.includes(name) || !value || !inherited) return value;
    const parts = Object.entries(value).filter(([part]) => this.isChanged(`${name}.${part}`));
    return Object.fromEntries(parts);
  }

  /** @param {string} name */
  #isUnsettled(name) {
    return (DECIDED_BY[name] ?? []).some((other) => this.isChanged(other));
  }

  /** @param {string} name @param {any} value */
  #put(name, value) {
    const [key, part] = name.split('.');
    if (!part) this.#values[key] = value;
    else this.#values[key] = { ...this.#values[key], [part]: value };
  }

  /** @param {string} name */
  #forget(name) {
    this.#named.delete(name);
    const [key, part] = name.split('.');
    // A part of what is null has no value to go back to.
    if (!part || (this.#values[key] && this.#preset.parameters[key])) this.#put(name, this.inherited(name));
  }

  #noteStrength() {
    const usual = this.#preset.parameters.style_weight;
    this.#strength = usual > 0 ? this.#values.style_weight / usual : 1;
  }

  /** What follows from another value. @param {string} name */
  #follow(name) {
    const decided = Object.keys(DECIDED_BY).filter((other) => DECIDED_BY[other].includes(name));
    for (const other of decided) this.#forget(other);
    if (name === 'style_weight') this.#noteStrength();
    this.#tell([name, ...decided]);
  }

  /** @param {?string[]} [names]  of what has another value */
  #tell(names = null) {
    this.dispatchEvent(new SheetChange(names));
  }
}

/** Whether two JSON values are the same, whatever the order of their keys. */
export function isEqual(one, other) {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || !one || !other) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => isEqual(one[key], other[key]));
}

/** @param {Schema} model @param {Record<string, Schema>} definitions @param {string} [prefix] @returns {Field[]} */
function fieldsOf(model, definitions, prefix = '') {
  return Object.entries(model.properties).map(([key, property]) => {
    const name = `${prefix}${key}`;
    const options = property.anyOf ?? [property];
    const option = options.find(({ type }) => type !== 'null');
    const parts = option.$ref ? definitions[option.$ref.split('/').pop()] : null;
    return {
      name,
      schema: { ...option, description: property.description ?? '', default: property.default },
      nullable: options.some(({ type }) => type === 'null'),
      parts: parts ? fieldsOf(parts, definitions, `${name}.`) : [],
    };
  });
}

/** Whether a loss has any layer of any weight. */
const counts = (weight, layers) => weight > 0 && Object.values(layers).some((share) => share > 0);

/** @param {Values} values @param {string} name */
function valueAt(values, name) {
  const [key, part] = name.split('.');
  return part ? values[key]?.[part] : values[key];
}
