// Parses URLs by a state machine (https://url.spec.whatwg.org/#concept-basic-url-parser).

import { C0, FRAGMENT, PATH, percentEncode, QUERY, SPECIAL_QUERY, USERINFO } from './percent.js';
import { trimmed } from './headers.js';
import { Invalid, parseHost } from './url-host.js';

const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
export const isSpecial = (scheme) => Object.hasOwn(PORTS, scheme);

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
    if (!url) text = trimmed(text, (code) => code <= 32);
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

// Parses a URL. Throws `Invalid` if it is none.
export function parse(input, base) {
  const parser = new Parser(input, base);
  parser.run();
  return parser.url;
}

// Changes one part of `url` as a setter does: a value that does not parse changes nothing.
export function change(url, value, state) {
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

STATES.hostname = STATES.host;
