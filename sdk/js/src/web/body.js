// Implements Request and Response (https://fetch.spec.whatwg.org), with streams, text, bytes and forms as bodies.

import { host } from '../host.js';
import { Blob, encodeMultipart, FormData, join, parseForm } from './blob.js';
import { bytesOf, decodeUtf8, encodeUtf8 } from './encoding.js';
import { AbortController, AbortSignal } from './events.js';
import { Headers } from './headers.js';
import { isDisturbed, ReadableStream } from './streams.js';
import { URL, URLSearchParams } from './url.js';

function boundary() {
  let text = '----coinslot';
  for (const byte of host.randomBytes(12)) text += byte.toString(16).padStart(2, '0');
  return text;
}

// The parts of a body: its bytes or its stream, and the content type that it implies.
function extract(init) {
  if (init === null || init === undefined) return { bytes: null, stream: null };
  if (init instanceof ReadableStream) {
    if (init.locked || isDisturbed(init)) throw new TypeError('the stream of a body was read already, or is locked');
    return { bytes: null, stream: init };
  }
  if (ArrayBuffer.isView(init) || init instanceof ArrayBuffer) return { bytes: bytesOf(init).slice(), stream: null };
  if (init instanceof URLSearchParams) {
    const type = 'application/x-www-form-urlencoded;charset=UTF-8';
    return { bytes: encodeUtf8(init.toString()), stream: null, type };
  }
  if (init instanceof FormData) {
    const mark = boundary();
    return { bytes: encodeMultipart(init, mark), stream: null, type: `multipart/form-data; boundary=${mark}` };
  }
  if (init instanceof Blob) return { bytes: null, stream: init.stream(), type: init.type || undefined };
  if (typeof init === 'object' && typeof init[Symbol.asyncIterator] === 'function') {
    return { bytes: null, stream: ReadableStream.from(init) };
  }
  return { bytes: encodeUtf8(String(init)), stream: null, type: 'text/plain;charset=UTF-8' };
}

export const CONTENT = Symbol('content');
export const WHOLE = Symbol('whole');
const COPIED = Symbol('copied');
const TAKEN = Symbol('taken');

class Body {
  #bytes;
  #stream;
  #isUsed = false;

  [CONTENT]({ bytes, stream }) {
    this.#bytes = bytes;
    this.#stream = stream;
  }

  get body() {
    if (this.#stream === null && this.#bytes !== null) {
      const bytes = this.#bytes;
      this.#stream = ReadableStream.from(bytes.length === 0 ? [] : [bytes]);
      this.#bytes = null;
    }
    return this.#stream;
  }

  get bodyUsed() {
    return this.#isUsed || (this.#stream !== null && isDisturbed(this.#stream));
  }

  async #read() {
    if (this.bodyUsed || this.#stream?.locked) throw new TypeError('the body was read already');
    if (this.#bytes === null && this.#stream === null) return new Uint8Array();
    this.#isUsed = true;
    if (this.#bytes !== null) return this.#bytes;
    const parts = [];
    for await (const part of this.#stream) {
      if (!(part instanceof Uint8Array)) throw new TypeError('a chunk of a body is a Uint8Array');
      parts.push(part);
    }
    return join([...parts, new Uint8Array()]);
  }

  async bytes() {
    return (await this.#read()).slice();
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  async text() {
    return decodeUtf8(await this.#read());
  }

  async json() {
    return JSON.parse(await this.text());
  }

  async blob() {
    return new Blob([await this.#read()], { type: this.headers.get('content-type') ?? '' });
  }

  async formData() {
    return parseForm(await this.#read(), this.headers.get('content-type'));
  }

  // The content of a copy. Both can be read.
  [COPIED]() {
    if (this.bodyUsed || this.#stream?.locked) throw new TypeError('the body was read already: clone before that');
    if (this.#stream === null) return { bytes: this.#bytes, stream: null };
    const [mine, other] = this.#stream.tee();
    this.#stream = mine;
    return { bytes: null, stream: other };
  }

  // The whole bytes if the body is not a stream, for a sender that may have to send them again.
  [WHOLE]() {
    return this.#bytes;
  }

  // Takes the body out of this object, as `new Request(request)` does.
  [TAKEN]() {
    if (this.bodyUsed || this.#stream?.locked) throw new TypeError('the body was read already');
    const content = { bytes: this.#bytes, stream: this.#stream };
    if (content.bytes !== null || content.stream !== null) this.#isUsed = true;
    return content;
  }
}

function fill(body, init) {
  const { bytes, stream, type } = extract(init);
  body[CONTENT]({ bytes, stream });
  if (type !== undefined && !body.headers.has('content-type')) body.headers.set('content-type', type);
}

const KNOWN_METHODS = /^(get|head|post|put|delete|options|patch)$/i;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export class Request extends Body {
  #method;
  #url;
  #headers;
  #signal;
  #redirect;

  constructor(input, init = {}) {
    super();
    const from = input instanceof Request ? input : undefined;
    const url = new URL(from ? from.url : String(input));
    if (url.username !== '' || url.password !== '') {
      throw new TypeError('a URL with a user name and a password cannot be fetched: send an authorization header');
    }
    this.#url = url.href;
    const method = String(init.method ?? from?.method ?? 'GET');
    if (!METHOD.test(method)) throw new TypeError(`${JSON.stringify(method)} is not a method`);
    this.#method = KNOWN_METHODS.test(method) ? method.toUpperCase() : method;
    this.#headers = new Headers(init.headers ?? from?.headers);
    this.#signal = init.signal ?? from?.signal ?? new AbortController().signal;
    if (!(this.#signal instanceof AbortSignal)) throw new TypeError('the signal of a request is an AbortSignal');
    this.#redirect = init.redirect ?? from?.redirect ?? 'follow';
    if (!['follow', 'error', 'manual'].includes(this.#redirect)) {
      throw new TypeError(`redirect is 'follow', 'error' or 'manual', and not ${JSON.stringify(this.#redirect)}`);
    }
    const hasBody = init.body !== undefined && init.body !== null;
    if (hasBody && /^(GET|HEAD)$/.test(this.#method)) throw new TypeError(`a ${this.#method} request has no body`);
    if (from && !hasBody) this[CONTENT](from[TAKEN]());
    else fill(this, init.body);
  }

  get method() {
    return this.#method;
  }

  get url() {
    return this.#url;
  }

  get headers() {
    return this.#headers;
  }

  get signal() {
    return this.#signal;
  }

  get redirect() {
    return this.#redirect;
  }

  clone() {
    const content = this[COPIED]();
    const { method, headers, signal, redirect } = this;
    const copy = new Request(this.#url, { method, headers, signal, redirect });
    copy[CONTENT](content);
    return copy;
  }

  get [Symbol.toStringTag]() {
    return 'Request';
  }
}

export const RECEIVED = Symbol('received');

const EMPTY_STATUS = [101, 204, 205, 304];

export class Response extends Body {
  #status;
  #statusText;
  #headers;
  #received = { url: '', redirected: false, type: 'default' };

  constructor(body = null, { status = 200, statusText = '', headers } = {}) {
    super();
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`${status} is not the status of a response: use 200 to 599`);
    }
    if (body !== null && body !== undefined && EMPTY_STATUS.includes(status)) {
      throw new TypeError(`a response of status ${status} has no body`);
    }
    this.#status = status;
    this.#statusText = String(statusText);
    this.#headers = new Headers(headers);
    fill(this, body);
  }

  static json(value, init = {}) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`Response.json: ${typeof value} is not a JSON value`);
    const response = new Response(text, { ...init, headers: undefined });
    const headers = new Headers(init.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    response.#headers = headers;
    return response;
  }

  static redirect(url, status = 302) {
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`${status} is not the status of a redirect`);
    // A relative address is allowed: the caller resolves it against its own.
    const location = URL.parse(url)?.href ?? String(url);
    return new Response(null, { status, headers: { location } });
  }

  static error() {
    const response = new Response();
    response.#status = 0;
    response.#received = { url: '', redirected: false, type: 'error' };
    return response;
  }

  [RECEIVED](facts) {
    this.#received = { ...this.#received, ...facts };
    return this;
  }

  get status() {
    return this.#status;
  }

  get statusText() {
    return this.#statusText;
  }

  get ok() {
    return this.#status >= 200 && this.#status < 300;
  }

  get headers() {
    return this.#headers;
  }

  get url() {
    return this.#received.url;
  }

  get redirected() {
    return this.#received.redirected;
  }

  get type() {
    return this.#received.type;
  }

  clone() {
    const content = this[COPIED]();
    const { status, statusText, headers } = this;
    const copy = new Response(null, { status, statusText, headers });
    copy[CONTENT](content);
    return copy[RECEIVED](this.#received);
  }

  get [Symbol.toStringTag]() {
    return 'Response';
  }
}
