// Calls the key-value store of this plugin, which outlives requests. The operator grants it, with a quota.

import { host } from './host.js';
import { table } from './info.js';
import { refuseOutsideHandler } from './phase.js';
import { asBytes, decodeUtf8, encodeUtf8 } from './web/encoding.js';

const denied = () =>
  `the operator has not granted this plugin a key-value store: ${table()} keyvalue = true in the host's configuration`;

// How often an update is tried before it fails.
const MOST_UPDATES = 100;

function attempt(what, run) {
  refuseOutsideHandler(what);
  try {
    return run();
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    if (tag === undefined) throw error;
    const reason = tag === 'access-denied' ? denied() : (val ?? tag.replaceAll('-', ' '));
    throw new Error(`${what} failed: ${reason}`);
  }
}

function bytesOfValue(what, value) {
  if (typeof value === 'string') return encodeUtf8(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new TypeError(`${what}: a value is text or bytes. For any other use store.json.set(key, value)`);
}

class Store {
  #name;
  #bucket;

  constructor(name) {
    this.#name = name;
    this.json = {
      get: (key) => {
        const text = this.get(key);
        return text === undefined ? undefined : JSON.parse(text);
      },
      set: (key, value) => {
        const text = JSON.stringify(value);
        if (text === undefined)
          throw new TypeError(`store.json.set('${key}', ..): ${typeof value} is not a JSON value`);
        this.set(key, text);
      },
      update: (key, change) => {
        const text = this.update(key, (held) => {
          const after = change(held === undefined ? undefined : JSON.parse(held));
          return after === undefined ? undefined : JSON.stringify(after);
        });
        return text === undefined ? undefined : JSON.parse(text);
      },
    };
  }

  #open() {
    this.#bucket ??= host.openBucket(this.#name);
    return this.#bucket;
  }

  // The store of another name. Each has keys of its own.
  bucket(name) {
    return new Store(String(name));
  }

  get(key) {
    const bytes = this.getBytes(key);
    return bytes === undefined ? undefined : decodeUtf8(bytes);
  }

  getBytes(key) {
    return attempt(`store.get('${key}')`, () => {
      const bytes = this.#open().get(String(key));
      return bytes === null || bytes === undefined ? undefined : asBytes(bytes);
    });
  }

  set(key, value) {
    const what = `store.set('${key}', ..)`;
    const bytes = bytesOfValue(what, value);
    attempt(what, () => this.#open().set(String(key), bytes));
  }

  delete(key) {
    attempt(`store.delete('${key}')`, () => this.#open().delete(String(key)));
  }

  has(key) {
    return attempt(`store.has('${key}')`, () => this.#open().exists(String(key)));
  }

  // Adds to a number in one atomic step, and returns the sum. An absent key counts as zero.
  increment(key, by = 1) {
    if (!Number.isInteger(by) || by < 0)
      throw new RangeError(`store.increment('${key}', ${by}): it adds a whole number`);
    return Number(attempt(`store.increment('${key}')`, () => host.increment(this.#open(), String(key), by)));
  }

  // Replaces a value if it is the expected one, in one atomic step, and returns whether it was. Undefined is no value: as
  // `expected` the key must be absent, as `value` the key is deleted.
  compareAndSwap(key, expected, value) {
    const what = `store.compareAndSwap('${key}', ..)`;
    const [from, to] = [expected, value].map((one) => (one === undefined ? null : bytesOfValue(what, one)));
    return attempt(what, () => host.compareAndSwap(this.#open(), String(key), from, to));
  }

  // Replaces a value by what `change` makes of it, in one atomic step. `change` is called again if another request has
  // written in between.
  update(key, change) {
    for (let attempts = 0; attempts < MOST_UPDATES; attempts++) {
      const before = this.get(key);
      const after = change(before);
      if (this.compareAndSwap(key, before, after)) return after;
    }
    throw new Error(`store.update('${key}', ..) failed: others have changed it ${MOST_UPDATES} times in between`);
  }

  // The keys that start with `prefix`, in the store's order.
  list(prefix = '') {
    return attempt('store.list()', () => {
      const keys = [];
      let cursor = null;
      do {
        const page = this.#open().listKeys(cursor);
        keys.push(...page.keys.filter((key) => key.startsWith(prefix)));
        ({ cursor } = page);
      } while (cursor !== null && cursor !== undefined);
      return keys;
    });
  }
}

export const store = new Store('');
