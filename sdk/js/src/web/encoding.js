// Implements TextEncoder and TextDecoder (https://encoding.spec.whatwg.org) for UTF-8, UTF-16 and windows-1252.
//
// The engine has no native UTF-8 conversion that JavaScript can reach. Long texts therefore go through native
// functions that together do the same (escape, encodeURIComponent, base64), and short ones through a loop.

const SHORT = 64; // code units below which a loop is the quickest
const CHUNK = 8192; // arguments of one call of String.fromCharCode

const isAscii = (text) => !/[^\x00-\x7f]/.test(text);

function viaBase64(binary) {
  return Uint8Array.fromBase64(btoa(binary));
}

const canUseBase64 = typeof Uint8Array.fromBase64 === 'function' && typeof btoa === 'function';

// Writes `text` as UTF-8 to `out` at `at`, as far as whole characters fit. Returns the units read and the bytes written.
function writeUtf8(text, out, at = 0) {
  const start = at;
  let read = 0;
  while (read < text.length) {
    let code = text.charCodeAt(read);
    let units = 1;
    if (code >= 0xd800 && code < 0xe000) {
      const next = text.charCodeAt(read + 1);
      if (code < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
        units = 2;
      } else {
        code = 0xfffd;
      }
    }
    const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (at + size > out.length) break;
    if (size === 1) {
      out[at++] = code;
    } else {
      out[at++] = (size === 2 ? 0xc0 : size === 3 ? 0xe0 : 0xf0) | (code >> (6 * (size - 1)));
      for (let shift = 6 * (size - 2); shift >= 0; shift -= 6) out[at++] = 0x80 | ((code >> shift) & 63);
    }
    read += units;
  }
  return { read, written: at - start };
}

export function encodeUtf8(text) {
  if (text.length > SHORT && canUseBase64) {
    return viaBase64(isAscii(text) ? text : unescape(encodeURIComponent(text.toWellFormed())));
  }
  const out = new Uint8Array(text.length * 3);
  return out.slice(0, writeUtf8(text, out).written);
}

export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }

  encode(text = '') {
    return encodeUtf8(String(text));
  }

  encodeInto(text, out) {
    return writeUtf8(String(text), out);
  }

  get [Symbol.toStringTag]() {
    return 'TextEncoder';
  }
}

// The bytes of a buffer or of a view of one, without a copy.
export function bytesOf(source) {
  if (source instanceof Uint8Array) return source;
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof ArrayBuffer || Object.prototype.toString.call(source) === '[object SharedArrayBuffer]') {
    return new Uint8Array(source);
  }
  throw new TypeError('expected an ArrayBuffer or a view of one');
}

// A list of bytes of the host, which the engine hands over as an array or as bytes.
export const asBytes = (list) => (list instanceof Uint8Array ? list : Uint8Array.from(list));

function latin1(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return text;
}

// Decodes whole UTF-8 natively. Undefined if it is not valid.
function nativeUtf8(bytes) {
  const binary = latin1(bytes);
  if (isAscii(binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    return undefined;
  }
}

// The UTF-8 decoder of the Encoding Standard: an ill-formed sequence becomes one U+FFFD for each maximal part.
class Utf8 {
  needed = 0;
  seen = 0;
  code = 0;
  lower = 0x80;
  upper = 0xbf;

  reset() {
    this.needed = this.seen = this.code = 0;
    this.lower = 0x80;
    this.upper = 0xbf;
  }

  decode(bytes, last, bad) {
    if (this.needed === 0 && last) {
      const whole = nativeUtf8(bytes);
      if (whole !== undefined) return whole;
    }
    let text = '';
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      if (this.needed === 0) {
        if (byte < 0x80) text += String.fromCharCode(byte);
        else if (byte >= 0xc2 && byte <= 0xf4) this.begin(byte);
        else text += bad();
      } else if (byte < this.lower || byte > this.upper) {
        this.reset();
        text += bad();
        i--;
      } else {
        this.lower = 0x80;
        this.upper = 0xbf;
        this.code = (this.code << 6) | (byte & 63);
        if (++this.seen === this.needed) {
          text += String.fromCodePoint(this.code);
          this.reset();
        }
      }
    }
    if (last && this.needed !== 0) {
      this.reset();
      text += bad();
    }
    return text;
  }

  begin(byte) {
    if (byte < 0xe0) {
      this.needed = 1;
      this.code = byte & 31;
    } else if (byte < 0xf0) {
      if (byte === 0xe0) this.lower = 0xa0;
      if (byte === 0xed) this.upper = 0x9f;
      this.needed = 2;
      this.code = byte & 15;
    } else {
      if (byte === 0xf0) this.lower = 0x90;
      if (byte === 0xf4) this.upper = 0x8f;
      this.needed = 3;
      this.code = byte & 7;
    }
  }
}

class Utf16 {
  constructor(isBigEndian) {
    this.isBigEndian = isBigEndian;
    this.reset();
  }

  reset() {
    this.byte = undefined;
    this.lead = undefined;
  }

  decode(bytes, last, bad) {
    let text = '';
    for (const byte of bytes) {
      if (this.byte === undefined) {
        this.byte = byte;
        continue;
      }
      const unit = this.isBigEndian ? (this.byte << 8) | byte : (byte << 8) | this.byte;
      this.byte = undefined;
      text += this.unit(unit, bad);
    }
    if (last && (this.byte !== undefined || this.lead !== undefined)) {
      this.reset();
      text += bad();
    }
    return text;
  }

  unit(unit, bad) {
    let text = '';
    if (this.lead !== undefined) {
      const lead = this.lead;
      this.lead = undefined;
      if (unit >= 0xdc00 && unit < 0xe000) return String.fromCharCode(lead, unit);
      text += bad();
    }
    if (unit >= 0xd800 && unit < 0xdc00) this.lead = unit;
    else text += unit >= 0xdc00 && unit < 0xe000 ? bad() : String.fromCharCode(unit);
    return text;
  }
}

// The characters of windows-1252 that differ from ISO 8859-1: 0x80 to 0x9f.
const WINDOWS_1252 =
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

class SingleByte {
  reset() {}

  decode(bytes) {
    return latin1(bytes).replace(/[\x80-\x9f]/g, (c) => WINDOWS_1252[c.charCodeAt(0) - 0x80]);
  }
}

const LABELS = {
  'utf-8': ['utf-8', 'utf8', 'unicode-1-1-utf-8', 'unicode11utf8', 'unicode20utf8', 'x-unicode20utf8'],
  'utf-16le': ['utf-16le', 'utf-16', 'ucs-2', 'unicode', 'csunicode', 'iso-10646-ucs-2', 'unicodefeff'],
  'utf-16be': ['utf-16be', 'unicodefffe'],
  'windows-1252': [
    ...['windows-1252', 'latin1', 'l1', 'ascii', 'us-ascii', 'iso-8859-1', 'iso8859-1', 'iso88591', 'iso_8859-1'],
    ...['iso_8859-1:1987', 'iso-ir-100', 'csisolatin1', 'cp1252', 'cp819', 'ibm819', 'x-cp1252', 'ansi_x3.4-1968'],
  ],
};
const MAKE = {
  'utf-8': () => new Utf8(),
  'utf-16le': () => new Utf16(false),
  'utf-16be': () => new Utf16(true),
  'windows-1252': () => new SingleByte(),
};

export class TextDecoder {
  #encoding;
  #decoder;
  #fatal;
  #ignoreBOM;
  #isAtStart = true;
  #continues = false;

  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    const wanted = String(label).trim().toLowerCase();
    this.#encoding = Object.keys(LABELS).find((name) => LABELS[name].includes(wanted));
    if (this.#encoding === undefined) {
      throw new RangeError(`TextDecoder: the encoding "${label}" is none of ${Object.keys(LABELS).join(', ')}`);
    }
    this.#decoder = MAKE[this.#encoding]();
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }

  get encoding() {
    return this.#encoding;
  }

  get fatal() {
    return this.#fatal;
  }

  get ignoreBOM() {
    return this.#ignoreBOM;
  }

  decode(source, { stream = false } = {}) {
    const bytes = source === undefined ? new Uint8Array() : bytesOf(source);
    if (!this.#continues) {
      this.#decoder.reset();
      this.#isAtStart = true;
    }
    this.#continues = Boolean(stream);
    let isBad = false;
    const bad = () => {
      isBad = true;
      return '\ufffd';
    };
    let text = this.#decoder.decode(bytes, !stream, bad);
    if (isBad && this.#fatal) {
      this.#continues = false;
      throw new TypeError(`The encoded data was not valid for encoding ${this.#encoding}`);
    }
    if (this.#isAtStart && text !== '') {
      this.#isAtStart = false;
      if (!this.#ignoreBOM && this.#encoding !== 'windows-1252' && text[0] === '\ufeff') text = text.slice(1);
    }
    return text;
  }

  get [Symbol.toStringTag]() {
    return 'TextDecoder';
  }
}

// The text of whole UTF-8, as bodies are read: without a byte order mark, ill-formed parts replaced.
export function decodeUtf8(bytes) {
  return new TextDecoder().decode(bytes);
}
