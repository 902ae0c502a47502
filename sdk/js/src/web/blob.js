// Implements Blob, File and FormData in memory, and the two encodings of a form.

import { bytesOf, decodeUtf8, encodeUtf8 } from './encoding.js';
import { ReadableStream } from './streams.js';
import { URLSearchParams } from './url.js';

export function join(parts) {
  if (parts.length === 1) return parts[0];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const BYTES = Symbol('bytes');

export class Blob {
  #bytes;
  #type;

  constructor(parts = [], { type = '' } = {}) {
    this.#bytes = join([
      ...Array.from(parts, (part) => {
        if (part instanceof Blob) return part[BYTES];
        if (ArrayBuffer.isView(part) || part instanceof ArrayBuffer) return bytesOf(part).slice();
        return encodeUtf8(String(part));
      }),
      new Uint8Array(),
    ]);
    this.#type = /^[\x20-\x7e]*$/.test(type) ? String(type).toLowerCase() : '';
  }

  get [BYTES]() {
    return this.#bytes;
  }

  get size() {
    return this.#bytes.length;
  }

  get type() {
    return this.#type;
  }

  slice(start = 0, end = this.size, type = '') {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }

  async bytes() {
    return this.#bytes.slice();
  }

  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }

  async text() {
    return decodeUtf8(this.#bytes);
  }

  stream() {
    return ReadableStream.from(this.size === 0 ? [] : [this.#bytes.slice()]);
  }

  get [Symbol.toStringTag]() {
    return 'Blob';
  }
}

export class File extends Blob {
  #name;
  #lastModified;

  constructor(parts, name, options = {}) {
    super(parts, options);
    this.#name = String(name);
    this.#lastModified = options.lastModified ?? 0;
  }

  get name() {
    return this.#name;
  }

  get lastModified() {
    return this.#lastModified;
  }

  get [Symbol.toStringTag]() {
    return 'File';
  }
}

export class FormData {
  #list = [];

  constructor(form) {
    if (form !== undefined) throw new TypeError('FormData takes no argument: there are no form elements here');
  }

  #entry(name, value, filename) {
    if (!(value instanceof Blob)) return [String(name).toWellFormed(), String(value).toWellFormed()];
    if (value instanceof File && filename === undefined) return [String(name).toWellFormed(), value];
    return [String(name).toWellFormed(), new File([value], filename ?? 'blob', { type: value.type })];
  }

  append(name, value, filename) {
    this.#list.push(this.#entry(name, value, filename));
  }

  set(name, value, filename) {
    const entry = this.#entry(name, value, filename);
    const at = this.#list.findIndex(([key]) => key === entry[0]);
    this.#list = this.#list.filter(([key], i) => key !== entry[0] || i === at);
    if (at < 0) this.#list.push(entry);
    else this.#list[at] = entry;
  }

  delete(name) {
    this.#list = this.#list.filter(([key]) => key !== String(name));
  }

  get(name) {
    return this.#list.find(([key]) => key === String(name))?.[1] ?? null;
  }

  getAll(name) {
    return this.#list.filter(([key]) => key === String(name)).map(([, value]) => value);
  }

  has(name) {
    return this.#list.some(([key]) => key === String(name));
  }

  forEach(run, self) {
    for (const [name, value] of this) run.call(self, value, name, this);
  }

  *entries() {
    for (const [name, value] of this.#list) yield [name, value];
  }

  *keys() {
    for (const [name] of this.#list) yield name;
  }

  *values() {
    for (const [, value] of this.#list) yield value;
  }

  get [Symbol.toStringTag]() {
    return 'FormData';
  }
}
Object.defineProperty(FormData.prototype, Symbol.iterator, {
  value: FormData.prototype.entries,
  writable: true,
  configurable: true,
});

const quoted = (text) => text.replace(/\r\n|\r|\n/g, '%0D%0A').replaceAll('"', '%22');

// The bytes of a form as multipart/form-data.
export function encodeMultipart(form, boundary) {
  const parts = [];
  for (const [name, value] of form) {
    let head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"`;
    if (value instanceof Blob) {
      head += `; filename="${quoted(value.name)}"\r\nContent-Type: ${value.type || 'application/octet-stream'}`;
    }
    parts.push(encodeUtf8(`${head}\r\n\r\n`));
    parts.push(value instanceof Blob ? value[BYTES] : encodeUtf8(value.replace(/\r\n|\r|\n/g, '\r\n')));
    parts.push(encodeUtf8('\r\n'));
  }
  parts.push(encodeUtf8(`--${boundary}--\r\n`));
  return join(parts);
}

function indexOf(bytes, wanted, from) {
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(wanted[0], from); at >= 0 && at <= last; at = bytes.indexOf(wanted[0], at + 1)) {
    let i = 1;
    while (i < wanted.length && bytes[at + i] === wanted[i]) i++;
    if (i === wanted.length) return at;
  }
  return -1;
}

// The value of a parameter of a header field, such as `boundary`.
export function parameter(field, name) {
  const found = new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]+))`, 'i').exec(field);
  return found ? (found[1]?.replace(/\\(.)/g, '$1') ?? found[2]) : undefined;
}

const unquoted = (text) => text?.replaceAll('%22', '"').replace(/%0D%0A/gi, '\r\n');

function parseMultipart(bytes, boundary) {
  const wrong = (why) => new TypeError(`the body is not multipart/form-data: ${why}`);
  if (!boundary) throw wrong('its content-type names no boundary');
  // RFC 2046, section 5.1.1. The search takes the product of both lengths.
  if (boundary.length > 70) throw wrong('its boundary is longer than 70 characters');
  const delimiter = encodeUtf8(`\r\n--${boundary}`);
  const form = new FormData();
  let at = indexOf(bytes, delimiter.subarray(2), 0);
  if (at < 0) throw wrong('the boundary does not occur');
  at += delimiter.length - 2;
  for (;;) {
    if (bytes[at] === 45 && bytes[at + 1] === 45) return form;
    const start = indexOf(bytes, encodeUtf8('\r\n'), at);
    const end = indexOf(bytes, encodeUtf8('\r\n\r\n'), at);
    const next = indexOf(bytes, delimiter, start < 0 ? bytes.length : start);
    if (start < 0 || end < 0 || next < 0) throw wrong('its end is missing');
    const head = decodeUtf8(bytes.subarray(start + 2, end));
    const disposition = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? '';
    const name = unquoted(parameter(disposition, 'name'));
    if (name === undefined) throw wrong('a part has no name');
    const filename = unquoted(parameter(disposition, 'filename'));
    const content = bytes.slice(end + 4, Math.max(next, end + 4));
    const type = /^content-type:(.*)$/im.exec(head)?.[1].trim();
    if (filename === undefined) form.append(name, decodeUtf8(content));
    else form.append(name, new File([content], filename, { type: type ?? 'text/plain' }));
    at = next + delimiter.length;
  }
}

// The form that a body of this content type holds. Throws a TypeError if it holds none.
export function parseForm(bytes, contentType) {
  const type = (contentType ?? '').split(';', 1)[0].trim().toLowerCase();
  if (type === 'multipart/form-data') return parseMultipart(bytes, parameter(contentType, 'boundary'));
  if (type !== 'application/x-www-form-urlencoded') {
    throw new TypeError(
      `a body of content-type ${JSON.stringify(contentType ?? 'none')} is no form: send ` +
        'application/x-www-form-urlencoded or multipart/form-data',
    );
  }
  const form = new FormData();
  for (const [name, value] of new URLSearchParams(decodeUtf8(bytes))) form.append(name, value);
  return form;
}
