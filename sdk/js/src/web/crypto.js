// Implements crypto: random values, digests, and HMAC (https://w3c.github.io/webcrypto). Keys and random values come
// from the host and are new in each instance: the snapshot of a build never holds one.

import { host } from '../host.js';
import { refuseInBuild } from '../phase.js';
import { asBytes, bytesOf } from './encoding.js';
import { DOMException } from './events.js';
import { HASHES, hmac } from './sha.js';

const MOST = 65_536; // bytes of one call of getRandomValues

function unsupported(what) {
  return new DOMException(
    `${what} is not supported here: use digest (SHA-1, -256, -384, -512) or HMAC`,
    'NotSupportedError',
  );
}

function hashOf(algorithm) {
  const name = String(typeof algorithm === 'string' ? algorithm : algorithm?.name).toUpperCase();
  if (!Object.hasOwn(HASHES, name)) throw unsupported(`the digest ${name}`);
  return { name, ...HASHES[name] };
}

function expectHmac(algorithm) {
  const name = String(typeof algorithm === 'string' ? algorithm : algorithm?.name).toUpperCase();
  if (name !== 'HMAC') throw unsupported(`the algorithm ${name}`);
}

const SECRET = Symbol('secret');

export class CryptoKey {
  constructor(mark, secret, { hash, extractable, usages }) {
    if (mark !== SECRET) throw new TypeError('Illegal constructor: use crypto.subtle.importKey');
    Object.defineProperty(this, SECRET, { value: secret });
    this.type = 'secret';
    this.extractable = extractable;
    this.algorithm = { name: 'HMAC', hash: { name: hash }, length: secret.length * 8 };
    this.usages = usages;
  }

  get [Symbol.toStringTag]() {
    return 'CryptoKey';
  }
}

function makeKey(secret, algorithm, extractable, usages) {
  const { name: hash } = hashOf(algorithm.hash);
  const allowed = [...usages];
  if (allowed.length === 0) throw new DOMException('a key needs a usage: ["sign", "verify"]', 'SyntaxError');
  const wrong = allowed.find((usage) => !['sign', 'verify'].includes(usage));
  if (wrong !== undefined) throw new DOMException(`an HMAC key cannot be used to ${wrong}`, 'SyntaxError');
  return new CryptoKey(SECRET, secret, { hash, extractable: Boolean(extractable), usages: allowed });
}

function secretFor(key, usage) {
  if (!(key instanceof CryptoKey)) throw new TypeError('the key is a CryptoKey, from crypto.subtle.importKey');
  if (!key.usages.includes(usage)) throw new DOMException(`the key was not imported to ${usage}`, 'InvalidAccessError');
  return key[SECRET];
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
const fromBase64url = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));

export class SubtleCrypto {
  async digest(algorithm, data) {
    return hashOf(algorithm).digest(bytesOf(data)).slice().buffer;
  }

  async importKey(format, data, algorithm, extractable, usages) {
    expectHmac(algorithm);
    if (format === 'raw') return makeKey(bytesOf(data).slice(), algorithm, extractable, usages);
    if (format === 'jwk' && data?.kty === 'oct') return makeKey(fromBase64url(data.k), algorithm, extractable, usages);
    throw unsupported(`the key format ${format}`);
  }

  async exportKey(format, key) {
    if (!key.extractable) throw new DOMException('the key is not extractable', 'InvalidAccessError');
    const secret = key[SECRET];
    if (format === 'raw') return secret.slice().buffer;
    if (format !== 'jwk') throw unsupported(`the key format ${format}`);
    const alg = `HS${key.algorithm.hash.name.slice(4)}`;
    return { kty: 'oct', k: base64url(secret), alg, ext: true, key_ops: [...key.usages] };
  }

  async generateKey(algorithm, extractable, usages) {
    expectHmac(algorithm);
    const length = algorithm.length === undefined ? hashOf(algorithm.hash).block : Math.ceil(algorithm.length / 8);
    return makeKey(randomBytes('crypto.subtle.generateKey', length), algorithm, extractable, usages);
  }

  async sign(algorithm, key, data) {
    expectHmac(algorithm);
    return hmac(hashOf(key.algorithm.hash), secretFor(key, 'sign'), bytesOf(data)).slice().buffer;
  }

  // Compares every byte, so that the time tells nothing about where a signature is wrong.
  async verify(algorithm, key, signature, data) {
    expectHmac(algorithm);
    const expected = hmac(hashOf(key.algorithm.hash), secretFor(key, 'verify'), bytesOf(data));
    const given = bytesOf(signature);
    let difference = expected.length ^ given.length;
    expected.forEach((byte, i) => (difference |= byte ^ (given[i] ?? 0)));
    return difference === 0;
  }
}
for (const name of ['encrypt', 'decrypt', 'deriveKey', 'deriveBits', 'wrapKey', 'unwrapKey']) {
  SubtleCrypto.prototype[name] = async () => {
    throw unsupported(`crypto.subtle.${name}`);
  };
}

function randomBytes(what, count) {
  refuseInBuild(what);
  return asBytes(host.randomBytes(count));
}

class Crypto {
  subtle = new SubtleCrypto();

  getRandomValues(array) {
    if (!ArrayBuffer.isView(array) || array instanceof DataView || /^Float/.test(array.constructor.name)) {
      throw new DOMException('getRandomValues fills a typed array of integers', 'TypeMismatchError');
    }
    if (array.byteLength > MOST) {
      throw new DOMException(`getRandomValues fills at most ${MOST} bytes in one call`, 'QuotaExceededError');
    }
    bytesOf(array).set(randomBytes('crypto.getRandomValues', array.byteLength));
    return array;
  }

  randomUUID() {
    const bytes = randomBytes('crypto.randomUUID', 16);
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  get [Symbol.toStringTag]() {
    return 'Crypto';
  }
}

export const crypto = new Crypto();
