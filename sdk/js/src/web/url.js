// URL and URLSearchParams, by the parser of the URL Standard (https://url.spec.whatwg.org).
//
// Difference: international host names are mapped by NFKC and lower case instead of the whole table of UTS 46.

import { decodeUtf8, encodeUtf8 } from './encoding.js';
import { toAsciiLabel } from './punycode.js';

const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
const isSpecial = (scheme) => Object.hasOwn(PORTS, scheme);

const C0 = '';
const FRAGMENT = ' "<>`';
const QUERY = ' "#<>';
const SPECIAL_QUERY = QUERY + "'";
const PATH = QUERY + '?^`{}';
const USERINFO = PATH + '/:;=@[\\]|';
const FORM_SAFE = /[A-Za-z0-9*\-._]/;

function percentByte(byte) {
  return '%' + (byte < 16 ? '0' : '') + byte.toString(16).toUpperCase();
}

// Encodes what is not printable ASCII, and the characters of `unsafe`.
function percentEncode(text, unsafe) {
  let out = '';
  for (const char of text) {
    const code = char.codePointAt(0);
    if (code > 0x7e) for (const byte of encodeUtf8(char)) out += percentByte(byte);
    else if (code < 0x20 || unsafe.includes(char)) out += percentByte(code);
    else out += char;
  }
  return out;
}

function percentDecode(text) {
  if (!text.includes('%')) return encodeUtf8(text);
  const bytes = encodeUtf8(text);
  const out = [];
  for (let i = 0; i < bytes.length; i++) {
    const hex = bytes[i] === 37 ? String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      out.push(parseInt(hex, 16));
      i += 2;
    } else {
      out.push(bytes[i]);
    }
  }
  return new Uint8Array(out);
}

const FORBIDDEN_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/;
const FORBIDDEN_DOMAIN = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

class Invalid extends Error {}

function parseHost(input, isOpaque) {
  if (input.startsWith('[')) {
    if (!input.endsWith(']')) throw new Invalid();
    return `[${writeIpv6(parseIpv6(input.slice(1, -1)))}]`;
  }
  if (isOpaque) {
    if (FORBIDDEN_HOST.test(input)) throw new Invalid();
    return percentEncode(input, C0);
  }
  const domain = toAscii(decodeUtf8(percentDecode(input)));
  if (domain === '' || FORBIDDEN_DOMAIN.test(domain)) throw new Invalid();
  return endsInNumber(domain) ? parseIpv4(domain) : domain;
}

function toAscii(domain) {
  if (/^[\x00-\x7f]*$/.test(domain) && !/(^|\.)xn--/i.test(domain)) return domain.toLowerCase();
  const mapped = domain
    .replace(/[\u00ad\u200b\u2060\ufeff\ufe00-\ufe0f]/g, '')
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFC')
    .replace(/[\u3002\uff0e\uff61]/g, '.');
  if (mapped.includes('\ufffd')) throw new Invalid();
  try {
    return mapped.split('.').map(toAsciiLabel).join('.');
  } catch {
    throw new Invalid();
  }
}

function endsInNumber(domain) {
  const parts = domain.split('.');
  if (parts.at(-1) === '' && parts.length > 1) parts.pop();
  return /^(\d+|0[xX][0-9a-fA-F]*)$/.test(parts.at(-1));
}

function parseIpv4(domain) {
  const parts = domain.split('.');
  if (parts.at(-1) === '' && parts.length > 1) parts.pop();
  if (parts.length > 4) throw new Invalid();
  const numbers = parts.map((part) => {
    if (part === '') throw new Invalid();
    if (/^0[xX]/.test(part)) return digits(part.slice(2), 16);
    return part.length > 1 && part[0] === '0' ? digits(part.slice(1), 8) : digits(part, 10);
  });
  const last = numbers.pop();
  if (numbers.some((n) => n > 255) || last >= 256 ** (4 - numbers.length)) throw new Invalid();
  let address = last;
  numbers.forEach((n, i) => (address += n * 256 ** (3 - i)));
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

function digits(text, radix) {
  if (text === '') return 0;
  const allowed = radix === 16 ? /^[0-9a-fA-F]+$/ : radix === 8 ? /^[0-7]+$/ : /^[0-9]+$/;
  if (!allowed.test(text)) throw new Invalid();
  return parseInt(text, radix);
}

function parseIpv6(input) {
  let text = input;
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (v4) {
    const octets = v4[2].split('.');
    if (octets.some((o) => o > 255 || (o.length > 1 && o[0] === '0'))) throw new Invalid();
    const [a, b, c, d] = octets.map(Number);
    text = v4[1] + (a * 256 + b).toString(16) + ':' + (c * 256 + d).toString(16);
  }
  const halves = text.split('::');
  if (halves.length > 2) throw new Invalid();
  const pieces = (half) => {
    if (half === '') return [];
    return half.split(':').map((piece) => {
      if (!/^[0-9a-fA-F]{1,4}$/.test(piece)) throw new Invalid();
      return parseInt(piece, 16);
    });
  };
  const [head, tail] = halves.map(pieces);
  if (tail === undefined) {
    if (head.length !== 8) throw new Invalid();
    return head;
  }
  const missing = 8 - head.length - tail.length;
  if (missing < 1) throw new Invalid();
  return [...head, ...new Array(missing).fill(0), ...tail];
}

function writeIpv6(pieces) {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && pieces[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (list) => list.map((piece) => piece.toString(16)).join(':');
  if (best.at < 0) return hex(pieces);
  return `${hex(pieces.slice(0, best.at))}::${hex(pieces.slice(best.at + best.length))}`;
}

const isDriveLetter = (text) => /^[a-zA-Z][:|]$/.test(text);
const isNormalDriveLetter = (text) => /^[a-zA-Z]:$/.test(text);
const startsWithDriveLetter = (text) => /^[a-zA-Z][:|]([/\\?#]|$)/.test(text);
const isSingleDot = (segment) => /^(\.|%2e)$/i.test(segment);
const isDoubleDot = (segment) => /^(\.|%2e){2}$/i.test(segment);

function shorten(url) {
  if (url.scheme === 'file:' && url.path.length === 1 && isNormalDriveLetter(url.path[0])) return;
  url.path.pop();
}

const empty = () => ({
  scheme: '',
  username: '',
  password: '',
  host: null,
  port: '',
  path: [],
  query: null,
  fragment: null,
});

const copyAuthority = (url, base) => {
  url.username = base.username;
  url.password = base.password;
  url.host = base.host;
  url.port = base.port;
};

// Parses by the state machine of the standard. With `url` and `state` it changes one part of that URL, and returns
// false where a setter does nothing.
class Parser {
  constructor(input, base, url, state) {
    this.base = base;
    this.override = state;
    this.state = state ?? 'scheme start';
    this.url = url ?? empty();
    let text = input;
    if (!url) text = text.replace(/^[\0-\x20]+|[\0-\x20]+$/g, '');
    this.text = Array.from(text.replace(/[\t\n\r]/g, ''));
    this.buffer = '';
    this.isInBrackets = this.sawAt = this.sawPasswordToken = false;
  }

  run() {
    for (this.at = 0; this.at <= this.text.length; this.at++) {
      const char = this.text[this.at];
      const outcome = STATES[this.state].call(this, char);
      if (outcome !== undefined) return outcome;
    }
    return true;
  }

  rest(from = 1) {
    return this.text.slice(this.at + from).join('');
  }

  get isSpecial() {
    return isSpecial(this.url.scheme);
  }

  isSlash(char) {
    return char === '/' || (this.isSpecial && char === '\\');
  }

  isEnd(char) {
    return char === undefined || char === '/' || char === '?' || char === '#' || (this.isSpecial && char === '\\');
  }
}

const STATES = {
  'scheme start'(char) {
    if (char !== undefined && /[a-zA-Z]/.test(char)) {
      this.buffer = char.toLowerCase();
      this.state = 'scheme';
    } else if (!this.override) {
      this.state = 'no scheme';
      this.at--;
    } else {
      return false;
    }
  },

  scheme(char) {
    const { url, base } = this;
    if (char !== undefined && /[a-zA-Z0-9+\-.]/.test(char)) {
      this.buffer += char.toLowerCase();
      return undefined;
    }
    if (char !== ':') {
      if (this.override) return false;
      this.buffer = '';
      this.state = 'no scheme';
      this.at = -1;
      return undefined;
    }
    const scheme = `${this.buffer}:`;
    if (this.override) {
      if (isSpecial(url.scheme) !== isSpecial(scheme)) return false;
      if ((url.username !== '' || url.password !== '' || url.port !== '') && scheme === 'file:') return false;
      if (url.scheme === 'file:' && url.host === '') return false;
      url.scheme = scheme;
      if (url.port === PORTS[scheme]) url.port = '';
      return true;
    }
    url.scheme = scheme;
    this.buffer = '';
    if (scheme === 'file:') {
      this.state = 'file';
    } else if (this.isSpecial && base?.scheme === scheme) {
      this.state = 'special relative or authority';
    } else if (this.isSpecial) {
      this.state = 'special authority slashes';
    } else if (this.text[this.at + 1] === '/') {
      this.state = 'path or authority';
      this.at++;
    } else {
      url.path = '';
      this.state = 'opaque path';
    }
    return undefined;
  },

  'no scheme'(char) {
    const { url, base } = this;
    if (!base || (typeof base.path === 'string' && char !== '#')) throw new Invalid();
    if (typeof base.path === 'string') {
      Object.assign(url, { scheme: base.scheme, path: base.path, query: base.query, fragment: '' });
      this.state = 'fragment';
    } else {
      this.state = base.scheme === 'file:' ? 'file' : 'relative';
      this.at--;
    }
  },

  'special relative or authority'(char) {
    if (char === '/' && this.text[this.at + 1] === '/') {
      this.state = 'special authority ignore slashes';
      this.at++;
    } else {
      this.state = 'relative';
      this.at--;
    }
  },

  'path or authority'(char) {
    if (char === '/') {
      this.state = 'authority';
    } else {
      this.state = 'path';
      this.at--;
    }
  },

  relative(char) {
    const { url, base } = this;
    url.scheme = base.scheme;
    if (this.isSlash(char)) {
      this.state = 'relative slash';
      return;
    }
    copyAuthority(url, base);
    url.path = [...base.path];
    url.query = base.query;
    if (char === '?') {
      url.query = '';
      this.state = 'query';
    } else if (char === '#') {
      url.fragment = '';
      this.state = 'fragment';
    } else if (char !== undefined) {
      url.query = null;
      shorten(url);
      this.state = 'path';
      this.at--;
    }
  },

  'relative slash'(char) {
    if (this.isSpecial && (char === '/' || char === '\\')) {
      this.state = 'special authority ignore slashes';
    } else if (char === '/') {
      this.state = 'authority';
    } else {
      copyAuthority(this.url, this.base);
      this.state = 'path';
      this.at--;
    }
  },

  'special authority slashes'(char) {
    this.state = 'special authority ignore slashes';
    if (char === '/' && this.text[this.at + 1] === '/') this.at++;
    else this.at--;
  },

  'special authority ignore slashes'(char) {
    if (char === '/' || char === '\\') return;
    this.state = 'authority';
    this.at--;
  },

  authority(char) {
    const { url } = this;
    if (char === '@') {
      if (this.sawAt) this.buffer = `%40${this.buffer}`;
      this.sawAt = true;
      for (const c of this.buffer) {
        if (c === ':' && !this.sawPasswordToken) {
          this.sawPasswordToken = true;
          continue;
        }
        const encoded = percentEncode(c, USERINFO);
        if (this.sawPasswordToken) url.password += encoded;
        else url.username += encoded;
      }
      this.buffer = '';
    } else if (this.isEnd(char)) {
      if (this.sawAt && this.buffer === '') throw new Invalid();
      this.at -= Array.from(this.buffer).length + 1;
      this.buffer = '';
      this.state = 'host';
    } else {
      this.buffer += char;
    }
  },

  host(char) {
    const { url } = this;
    if (this.override && url.scheme === 'file:') {
      this.at--;
      this.state = 'file host';
    } else if (char === ':' && !this.isInBrackets) {
      if (this.buffer === '') throw new Invalid();
      if (this.override === 'hostname') return false;
      url.host = parseHost(this.buffer, !this.isSpecial);
      this.buffer = '';
      this.state = 'port';
    } else if (this.isEnd(char)) {
      this.at--;
      if (this.isSpecial && this.buffer === '') throw new Invalid();
      const isNeeded = url.username !== '' || url.password !== '' || url.port !== '';
      if (this.override && this.buffer === '' && isNeeded) return false;
      url.host = parseHost(this.buffer, !this.isSpecial);
      this.buffer = '';
      this.state = 'path start';
      if (this.override) return true;
    } else {
      if (char === '[') this.isInBrackets = true;
      if (char === ']') this.isInBrackets = false;
      this.buffer += char;
    }
    return undefined;
  },

  port(char) {
    const { url } = this;
    if (char !== undefined && /[0-9]/.test(char)) {
      this.buffer += char;
    } else if (this.isEnd(char) || this.override) {
      if (this.buffer !== '') {
        const port = Number(this.buffer);
        if (port > 65535) throw new Invalid();
        url.port = String(port) === PORTS[url.scheme] ? '' : String(port);
        this.buffer = '';
        if (this.override) return true;
      }
      if (this.override) return false;
      this.state = 'path start';
      this.at--;
    } else {
      throw new Invalid();
    }
    return undefined;
  },

  file(char) {
    const { url, base } = this;
    url.scheme = 'file:';
    url.host = '';
    if (char === '/' || char === '\\') {
      this.state = 'file slash';
    } else if (base?.scheme === 'file:') {
      url.host = base.host;
      url.path = [...base.path];
      url.query = base.query;
      if (char === '?') {
        url.query = '';
        this.state = 'query';
      } else if (char === '#') {
        url.fragment = '';
        this.state = 'fragment';
      } else if (char !== undefined) {
        url.query = null;
        if (startsWithDriveLetter(this.rest(0))) url.path = [];
        else shorten(url);
        this.state = 'path';
        this.at--;
      }
    } else {
      this.state = 'path';
      this.at--;
    }
  },

  'file slash'(char) {
    const { url, base } = this;
    if (char === '/' || char === '\\') {
      this.state = 'file host';
      return;
    }
    if (base?.scheme === 'file:') {
      url.host = base.host;
      const [drive] = base.path;
      if (!startsWithDriveLetter(this.rest(0)) && drive && isNormalDriveLetter(drive)) url.path.push(drive);
    }
    this.state = 'path';
    this.at--;
  },

  'file host'(char) {
    const { url } = this;
    if (char === undefined || char === '/' || char === '\\' || char === '?' || char === '#') {
      this.at--;
      if (!this.override && isDriveLetter(this.buffer)) {
        this.state = 'path';
      } else if (this.buffer === '') {
        url.host = '';
        if (this.override) return true;
        this.state = 'path start';
      } else {
        const host = parseHost(this.buffer, false);
        url.host = host === 'localhost' ? '' : host;
        if (this.override) return true;
        this.buffer = '';
        this.state = 'path start';
      }
    } else {
      this.buffer += char;
    }
    return undefined;
  },

  'path start'(char) {
    if (this.isSpecial) {
      this.state = 'path';
      if (char !== '/' && char !== '\\') this.at--;
    } else if (!this.override && char === '?') {
      this.url.query = '';
      this.state = 'query';
    } else if (!this.override && char === '#') {
      this.url.fragment = '';
      this.state = 'fragment';
    } else if (char !== undefined) {
      this.state = 'path';
      if (char !== '/') this.at--;
    } else if (this.override && this.url.host === null) {
      this.url.path.push('');
    }
  },

  path(char) {
    const { url } = this;
    const isEnd = char === undefined || this.isSlash(char) || (!this.override && (char === '?' || char === '#'));
    if (!isEnd) {
      this.buffer += percentEncode(char, PATH);
      return;
    }
    if (isDoubleDot(this.buffer)) {
      shorten(url);
      if (!this.isSlash(char)) url.path.push('');
    } else if (isSingleDot(this.buffer)) {
      if (!this.isSlash(char)) url.path.push('');
    } else {
      if (url.scheme === 'file:' && url.path.length === 0 && isDriveLetter(this.buffer)) {
        this.buffer = `${this.buffer[0]}:`;
      }
      url.path.push(this.buffer);
    }
    this.buffer = '';
    if (char === '?') {
      url.query = '';
      this.state = 'query';
    } else if (char === '#') {
      url.fragment = '';
      this.state = 'fragment';
    }
  },

  'opaque path'(char) {
    const { url } = this;
    if (char === '?') {
      url.query = '';
      this.state = 'query';
    } else if (char === '#') {
      url.fragment = '';
      this.state = 'fragment';
    } else if (char !== undefined) {
      url.path += percentEncode(char, C0);
    }
  },

  query(char) {
    if (char === undefined || (!this.override && char === '#')) {
      this.url.query += percentEncode(this.buffer, this.isSpecial ? SPECIAL_QUERY : QUERY);
      this.buffer = '';
      if (char === '#') {
        this.url.fragment = '';
        this.state = 'fragment';
      }
    } else {
      this.buffer += char;
    }
  },

  fragment(char) {
    if (char !== undefined) this.url.fragment += percentEncode(char, FRAGMENT);
  },
};

function parse(input, base) {
  const parser = new Parser(input, base);
  parser.run();
  return parser.url;
}

// Changes one part of `url` as a setter does: a value that does not parse changes nothing.
function change(url, value, state) {
  const changed = { ...url, path: Array.isArray(url.path) ? [...url.path] : url.path };
  try {
    const parser = new Parser(value, undefined, changed, state);
    // A host is kept although no port follows its colon.
    if (parser.run() === false && !(state === 'host' && parser.state === 'port')) return;
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    // A host is kept although the port after it is wrong.
    if (state !== 'host' || changed.host === url.host) return;
  }
  Object.assign(url, changed);
}

const pathOf = (url) => (typeof url.path === 'string' ? url.path : url.path.map((segment) => `/${segment}`).join(''));

const USED = 'https://example.com/a?b=c';

function invalid(input) {
  const error = new TypeError(`Invalid URL: ${JSON.stringify(input)}; an absolute URL looks like ${USED}`);
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
STATES.hostname = STATES.host;

const OWNER = Symbol('owner');
const REPLACE = Symbol('replace');

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
