// Implements URL (https://url.spec.whatwg.org/#url-class).
//
// Difference: international host names are mapped by NFKC and lower case instead of the whole table of UTS 46.

import { percentEncode, USERINFO } from './percent.js';
import { OWNER, REPLACE, URLSearchParams } from './search-params.js';
import { Invalid } from './url-host.js';
import { change, isSpecial, parse } from './url-parser.js';

export { URLSearchParams };

const pathOf = (url) => (typeof url.path === 'string' ? url.path : url.path.map((segment) => `/${segment}`).join(''));

function invalid(input) {
  const error = new TypeError(
    `Invalid URL: ${JSON.stringify(input)}; an absolute URL looks like https://example.com/a?b=c`,
  );
  error.code = 'ERR_INVALID_URL';
  error.input = input;
  return error;
}

export class URL {
  #url;
  #params;

  constructor(input, base) {
    const text = String(input).toWellFormed();
    try {
      const parsed = base === undefined ? undefined : parse(String(base).toWellFormed());
      this.#url = parse(text, parsed);
    } catch (error) {
      if (error instanceof Invalid) throw invalid(text);
      throw error;
    }
    this.#params = new URLSearchParams(this.#url.query ?? '');
    this.#params[OWNER] = (query) => {
      this.#url.query = query === '' ? null : query;
    };
  }

  static parse(input, base) {
    try {
      return new URL(input, base);
    } catch {
      return null;
    }
  }

  static canParse(input, base) {
    return URL.parse(input, base) !== null;
  }

  get href() {
    const url = this.#url;
    let out = url.scheme;
    if (url.host !== null) {
      out += '//';
      if (url.username !== '' || url.password !== '') {
        out += url.username + (url.password === '' ? '' : `:${url.password}`) + '@';
      }
      out += this.host;
    } else if (Array.isArray(url.path) && url.path.length > 1 && url.path[0] === '') {
      out += '/.';
    }
    out += pathOf(url);
    if (url.query !== null) out += `?${url.query}`;
    if (url.fragment !== null) out += `#${url.fragment}`;
    return out;
  }

  set href(value) {
    this.#url = new URL(value).#url;
    this.#params[REPLACE](this.#url.query ?? '');
  }

  get origin() {
    if (this.#url.scheme === 'blob:') {
      const inner = URL.parse(pathOf(this.#url));
      return inner && /^https?:$/.test(inner.protocol) ? inner.origin : 'null';
    }
    if (!isSpecial(this.#url.scheme) || this.#url.scheme === 'file:') return 'null';
    return `${this.#url.scheme}//${this.host}`;
  }

  get protocol() {
    return this.#url.scheme;
  }

  set protocol(value) {
    change(this.#url, `${value}:`, 'scheme start');
  }

  get #hasNoCredentials() {
    return this.#url.host === null || this.#url.host === '' || this.#url.scheme === 'file:';
  }

  get username() {
    return this.#url.username;
  }

  set username(value) {
    if (!this.#hasNoCredentials) this.#url.username = percentEncode(String(value).toWellFormed(), USERINFO);
  }

  get password() {
    return this.#url.password;
  }

  set password(value) {
    if (!this.#hasNoCredentials) this.#url.password = percentEncode(String(value).toWellFormed(), USERINFO);
  }

  get host() {
    const { host, port } = this.#url;
    return host === null ? '' : port === '' ? host : `${host}:${port}`;
  }

  set host(value) {
    if (typeof this.#url.path !== 'string') change(this.#url, String(value).toWellFormed(), 'host');
  }

  get hostname() {
    return this.#url.host ?? '';
  }

  set hostname(value) {
    if (typeof this.#url.path !== 'string') change(this.#url, String(value).toWellFormed(), 'hostname');
  }

  get port() {
    return this.#url.port;
  }

  set port(value) {
    if (this.#hasNoCredentials) return;
    if (String(value) === '') this.#url.port = '';
    else change(this.#url, String(value), 'port');
  }

  get pathname() {
    return pathOf(this.#url);
  }

  set pathname(value) {
    if (typeof this.#url.path === 'string') return;
    const before = this.#url.path;
    this.#url.path = [];
    change(this.#url, String(value).toWellFormed(), 'path start');
    if (this.#url.path.length === 0 && isSpecial(this.#url.scheme)) this.#url.path = before;
  }

  get search() {
    return this.#url.query ? `?${this.#url.query}` : '';
  }

  set search(value) {
    const text = String(value).toWellFormed();
    this.#url.query = null;
    if (text !== '') {
      this.#url.query = '';
      change(this.#url, text.replace(/^\?/, ''), 'query');
    }
    this.#params[REPLACE](this.#url.query ?? '');
  }

  get searchParams() {
    return this.#params;
  }

  get hash() {
    return this.#url.fragment ? `#${this.#url.fragment}` : '';
  }

  set hash(value) {
    const text = String(value).toWellFormed();
    this.#url.fragment = null;
    if (text === '') return;
    this.#url.fragment = '';
    change(this.#url, text.replace(/^#/, ''), 'fragment');
  }

  toString() {
    return this.href;
  }

  toJSON() {
    return this.href;
  }

  get [Symbol.toStringTag]() {
    return 'URL';
  }
}
