// Percent-encodes, with the set of characters that each part of a URL encodes
// (https://url.spec.whatwg.org/#percent-encoded-bytes).

import { encodeUtf8 } from './encoding.js';

// Characters below U+0020 and above U+007E are encoded everywhere. Each set names further ones.
export const C0 = '';
export const FRAGMENT = ' "<>`';
export const QUERY = ' "#<>';
export const SPECIAL_QUERY = QUERY + "'";
export const PATH = QUERY + '?^`{}';
export const USERINFO = PATH + '/:;=@[\\]|';

export function percentByte(byte) {
  return '%' + (byte < 16 ? '0' : '') + byte.toString(16).toUpperCase();
}

// Encodes what is not printable ASCII, and the characters of `unsafe`.
export function percentEncode(text, unsafe) {
  let out = '';
  for (const char of text) {
    const code = char.codePointAt(0);
    if (code > 0x7e) for (const byte of encodeUtf8(char)) out += percentByte(byte);
    else if (code < 0x20 || unsafe.includes(char)) out += percentByte(code);
    else out += char;
  }
  return out;
}

export function percentDecode(text) {
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
