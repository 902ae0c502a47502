// Parses hosts of URLs: domains, IPv4 and IPv6 addresses (https://url.spec.whatwg.org/#host-parsing).

import { decodeUtf8 } from './encoding.js';
import { C0, percentDecode, percentEncode } from './percent.js';
import { toAsciiLabel } from './punycode.js';

const FORBIDDEN_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/;
const FORBIDDEN_DOMAIN = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

export class Invalid extends Error {}

// The host in its normal form. `isOpaque` is true for a scheme that is not special.
export function parseHost(input, isOpaque) {
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
