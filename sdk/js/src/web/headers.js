// Implements Headers (https://fetch.spec.whatwg.org/#headers-class): names in lower case and in their order.

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

// A text without these characters at its ends. An expression that looks for them at the end tries each run of them in the
// middle, which takes the square of its length.
export function trimmed(text, isTrimmed) {
  let [from, to] = [0, text.length];
  while (from < to && isTrimmed(text.charCodeAt(from))) from += 1;
  while (from < to && isTrimmed(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

function checkedName(name) {
  const text = String(name);
  if (!NAME.test(text)) throw new TypeError(`${JSON.stringify(text)} is not the name of a header field`);
  return text.toLowerCase();
}

function checkedValue(name, value) {
  const text = trimmed(String(value), (code) => code === 9 || code === 10 || code === 13 || code === 32);
  if (/[\0\n\r]/.test(text) || /[^\x00-\xff]/.test(text)) {
    throw new TypeError(`the header field ${name} has a character that no header can carry: ${JSON.stringify(text)}`);
  }
  return text;
}

export class Headers {
  #list = [];

  constructor(init) {
    if (init === undefined || init === null) return;
    if (typeof init !== 'object') throw new TypeError('Headers takes an object, pairs, or Headers');
    const pairs = init[Symbol.iterator] ? init : Object.entries(init);
    for (const pair of pairs) {
      const entry = [...pair];
      if (entry.length !== 2) throw new TypeError('Headers takes pairs of a name and a value');
      this.append(entry[0], entry[1]);
    }
  }

  append(name, value) {
    const key = checkedName(name);
    this.#list.push([key, checkedValue(key, value)]);
  }

  set(name, value) {
    const key = checkedName(name);
    const text = checkedValue(key, value);
    const first = this.#list.find(([held]) => held === key);
    if (!first) {
      this.#list.push([key, text]);
      return;
    }
    first[1] = text;
    this.#list = this.#list.filter((pair) => pair === first || pair[0] !== key);
  }

  delete(name) {
    const key = checkedName(name);
    this.#list = this.#list.filter(([held]) => held !== key);
  }

  get(name) {
    const key = checkedName(name);
    const values = this.#list.filter(([held]) => held === key).map(([, value]) => value);
    return values.length === 0 ? null : values.join(', ');
  }

  getSetCookie() {
    return this.#list.filter(([name]) => name === 'set-cookie').map(([, value]) => value);
  }

  has(name) {
    const key = checkedName(name);
    return this.#list.some(([held]) => held === key);
  }

  forEach(run, self) {
    for (const [name, value] of this) run.call(self, value, name, this);
  }

  *entries() {
    const names = [...new Set(this.#list.map(([name]) => name))].sort();
    for (const name of names) {
      if (name === 'set-cookie') for (const value of this.getSetCookie()) yield [name, value];
      else if (this.has(name)) yield [name, this.get(name)];
    }
  }

  *keys() {
    for (const [name] of this.entries()) yield name;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  toJSON() {
    return Object.fromEntries(this);
  }

  get [Symbol.toStringTag]() {
    return 'Headers';
  }
}
Object.defineProperty(Headers.prototype, Symbol.iterator, {
  value: Headers.prototype.entries,
  writable: true,
  configurable: true,
});
