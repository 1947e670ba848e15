/** Server-Sent Events from a stream of bytes: an `EventSource` cannot send the visitor's key. */

/**
 * data: what the JSON says. The first is always `open`, which has none: bytes come through.
 *
 * @typedef {{id: ?string, type: string, data: any}} StreamEvent
 */

const SILENCE_SECONDS = 40; // the service says something every 15 s

/**
 * Yields events until the stream ends. A connection that is broken without anybody having been told, or that
 * some proxy holds back, ends it too.
 *
 * @param {ReadableStream<Uint8Array>} bytes
 * @returns {AsyncGenerator<StreamEvent>}
 */
export async function* readEvents(bytes) {
  const decoder = new TextDecoder();
  const reader = bytes.getReader();
  const parser = new Parser();
  let isOpen = false;
  try {
    for (;;) {
      const chunk = await beforeLong(reader.read()).catch(() => null);
      if (!chunk || chunk.done) return;
      if (!isOpen) yield { id: null, type: 'open', data: null };
      isOpen = true;
      yield* parser.push(decoder.decode(chunk.value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be broken already
  }
}

/** @template T @param {Promise<T>} promise @returns {Promise<?T>} null after a long silence */
async function beforeLong(promise) {
  let timer = 0;
  const silence = new Promise((resolve) => (timer = setTimeout(resolve, 1000 * SILENCE_SECONDS, null)));
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

/** The lines of the format, as the HTML standard describes them, as far as our service uses it. */
class Parser {
  #rest = '';
  /** @type {?string} */
  #id = null;
  #type = '';
  /** @type {string[]} */
  #data = [];

  /** @param {string} text @returns {Generator<StreamEvent>} */
  *push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') yield* this.#dispatch();
      else this.#field(line);
    }
  }

  /** @param {string} line */
  #field(line) {
    const [, name, value] = line.match(/^([^:]*)(?:: ?(.*))?$/s) ?? [];
    if (name === 'event') this.#type = value ?? '';
    else if (name === 'data') this.#data.push(value ?? '');
    else if (name === 'id') this.#id = value ?? null;
  }

  *#dispatch() {
    if (this.#data.length > 0)
      yield { id: this.#id, type: this.#type || 'message', data: JSON.parse(this.#data.join('\n')) };
    this.#type = '';
    this.#data = [];
  }
}
