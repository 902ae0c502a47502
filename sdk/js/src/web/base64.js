// Implements atob and btoa (https://infra.spec.whatwg.org/#forgiving-base64) around the engine's own, where it has any.

import { DOMException } from './events.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

export function btoa(data) {
  const text = String(data);
  if (/[^\x00-\xff]/.test(text)) {
    throw new DOMException(
      'btoa takes characters up to U+00FF: encode text with TextEncoder first',
      'InvalidCharacterError',
    );
  }
  let out = '';
  for (let i = 0; i < text.length; i += 3) {
    const [a, b, c] = [text.charCodeAt(i), text.charCodeAt(i + 1), text.charCodeAt(i + 2)];
    out += LETTERS[a >> 2] + LETTERS[((a & 3) << 4) | ((b || 0) >> 4)];
    out += Number.isNaN(b) ? '=' : LETTERS[((b & 15) << 2) | ((c || 0) >> 6)];
    out += Number.isNaN(c) ? '=' : LETTERS[c & 63];
  }
  return out;
}

export function atob(data) {
  let text = String(data).replace(/[\t\n\f\r ]/g, '');
  if (text.length % 4 === 0) text = text.replace(/==?$/, '');
  if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) {
    throw new DOMException('atob takes base64: this text is not correctly encoded', 'InvalidCharacterError');
  }
  let out = '';
  let bits = 0;
  let count = 0;
  for (const char of text) {
    bits = ((bits << 6) | LETTERS.indexOf(char)) & 0xfffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += String.fromCharCode((bits >> count) & 255);
  }
  return out;
}
