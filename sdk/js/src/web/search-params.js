// Implements URLSearchParams (https://url.spec.whatwg.org/#interface-urlsearchparams).

import { decodeUtf8, encodeUtf8 } from './encoding.js';
import { percentByte, percentDecode } from './percent.js';

const FORM_SAFE = /[A-Za-z0-9*\-._]/;

// The function to call with the new query, when a URL owns the parameters.
export const OWNER = Symbol('owner');
// Takes the parameters of another query, without telling the owner.
export const REPLACE = Symbol('replace');

function formDecode(text) {
  const spaced = text.replaceAll('+', ' ');
  return spaced.includes('%') ? decodeUtf8(percentDecode(spaced)) : spaced;
}

function formEncode(text) {
  let out = '';
  for (const byte of encodeUtf8(text)) {
    const char = String.fromCharCode(byte);
    out += byte === 32 ? '+' : FORM_SAFE.test(char) ? char : percentByte(byte);
  }
  return out;
}

function parseForm(text) {
  return text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [formDecode(pair), ''] : [formDecode(pair.slice(0, at)), formDecode(pair.slice(at + 1))];
    });
}

const word = (value) => String(value).toWellFormed();

export class URLSearchParams {
  #list = [];

  constructor(init = '') {
    if (init !== null && (typeof init === 'object' || typeof init === 'function')) {
      const pairs = init[Symbol.iterator] ? [...init] : Reflect.ownKeys(init).map((key) => [key, init[key]]);
      for (const pair of pairs) {
        const entry = [...pair];
        if (entry.length !== 2) throw new TypeError('URLSearchParams takes pairs of a name and a value');
        this.#list.push(entry.map(word));
      }
    } else {
      this.#list = parseForm(word(init).replace(/^\?/, ''));
    }
  }

  [REPLACE](query) {
    this.#list = parseForm(query);
  }

  #changed() {
    this[OWNER]?.(this.toString());
  }

  get size() {
    return this.#list.length;
  }

  append(name, value) {
    this.#list.push([word(name), word(value)]);
    this.#changed();
  }

  delete(name, value) {
    const isIt = ([key, held]) => key === word(name) && (value === undefined || held === word(value));
    this.#list = this.#list.filter((pair) => !isIt(pair));
    this.#changed();
  }

  get(name) {
    return this.#list.find(([key]) => key === word(name))?.[1] ?? null;
  }

  getAll(name) {
    return this.#list.filter(([key]) => key === word(name)).map(([, value]) => value);
  }

  has(name, value) {
    return this.#list.some(([key, held]) => key === word(name) && (value === undefined || held === word(value)));
  }

  set(name, value) {
    const first = this.#list.find(([key]) => key === word(name));
    if (first) {
      first[1] = word(value);
      this.#list = this.#list.filter((pair) => pair === first || pair[0] !== first[0]);
    } else {
      this.#list.push([word(name), word(value)]);
    }
    this.#changed();
  }

  sort() {
    this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#changed();
  }

  forEach(run, self) {
    for (const [name, value] of this) run.call(self, value, name, this);
  }

  *entries() {
    for (let i = 0; i < this.#list.length; i++) yield [...this.#list[i]];
  }

  *keys() {
    for (const [name] of this.entries()) yield name;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  toString() {
    return this.#list.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join('&');
  }

  get [Symbol.toStringTag]() {
    return 'URLSearchParams';
  }
}
Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
  value: URLSearchParams.prototype.entries,
  writable: true,
  configurable: true,
});
