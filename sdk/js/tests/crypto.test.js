// Digests, HMAC and random values beside those of Node.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';

import { leaveBuild } from '../src/phase.js';
import { random } from '../src/web/clock.js';
import { crypto } from '../src/web/crypto.js';
import { generator } from './support/random.js';

const HASHES = { 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' };
const hex = (buffer) => Buffer.from(buffer).toString('hex');

test('while a plugin is built there are no random values', async () => {
  for (const [name, use] of Object.entries({
    'crypto.randomUUID': () => crypto.randomUUID(),
    'crypto.getRandomValues': () => crypto.getRandomValues(new Uint8Array(4)),
    'Math.random\\(\\)': () => random(),
  })) {
    assert.throws(use, new RegExp(`${name} is not available here: this code runs once, when the plugin is built`));
  }
  await assert.rejects(() => crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign']), /is built/);
  leaveBuild();
});

test('digests are those of Node, at every length around a block', async () => {
  const { bytes } = generator();
  const lengths = [...Array(300).keys(), 1_000, 4_096, 10_007];
  const whole = Uint8Array.from({ length: 10_007 }, (_, i) => (i * 31) & 255);
  const messages = [
    ...lengths.map((length) => whole.subarray(0, length)),
    ...Array.from({ length: 50 }, () => bytes(500)),
  ];
  for (const [ours, theirs] of Object.entries(HASHES)) {
    for (const message of messages) {
      const expected = createHash(theirs).update(message).digest('hex');
      assert.equal(hex(await crypto.subtle.digest(ours, message)), expected, `${ours} of ${message.length} bytes`);
    }
  }
  assert.equal(hex(await crypto.subtle.digest({ name: 'sha-256' }, new Uint8Array())).slice(0, 8), 'e3b0c442');
  await assert.rejects(() => crypto.subtle.digest('MD5', new Uint8Array()), { name: 'NotSupportedError' });
});

test('HMAC is that of Node, for keys of any length', async () => {
  const { bytes } = generator(1);
  for (const [hash, theirs] of Object.entries(HASHES)) {
    for (let length = 1; length < 200; length += 13) {
      const secret = Uint8Array.from({ length }, (_, i) => i);
      const message = bytes(300);
      const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash }, true, ['sign', 'verify']);
      const signature = await crypto.subtle.sign('HMAC', key, message);
      assert.equal(hex(signature), createHmac(theirs, secret).update(message).digest('hex'));
      assert.equal(await crypto.subtle.verify('HMAC', key, signature, message), true);
      const wrong = new Uint8Array(signature.slice(0));
      wrong[3] ^= 1;
      assert.equal(await crypto.subtle.verify('HMAC', key, wrong, message), false);
      assert.equal(await crypto.subtle.verify('HMAC', key, wrong.subarray(1), message), false);
      assert.deepEqual(new Uint8Array(await crypto.subtle.exportKey('raw', key)), secret);
    }
  }
});

test('a key does only what it was imported for', async () => {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', new Uint8Array(8), algorithm, false, ['verify']);
  await assert.rejects(() => crypto.subtle.sign('HMAC', key, new Uint8Array()), { name: 'InvalidAccessError' });
  await assert.rejects(() => crypto.subtle.exportKey('raw', key), { name: 'InvalidAccessError' });
  await assert.rejects(() => crypto.subtle.importKey('raw', new Uint8Array(8), algorithm, false, []), {
    name: 'SyntaxError',
  });
  await assert.rejects(
    () => crypto.subtle.importKey('raw', new Uint8Array(8), 'AES-GCM', false, ['encrypt']),
    /not supported here/,
  );
  await assert.rejects(() => crypto.subtle.encrypt(), { name: 'NotSupportedError' });
  const jwk = { kty: 'oct', k: 'AQIDBA', alg: 'HS256' };
  const imported = await crypto.subtle.importKey('jwk', jwk, algorithm, true, ['sign']);
  assert.equal((await crypto.subtle.exportKey('jwk', imported)).k, 'AQIDBA');
});

test('random values fill any array of integers', () => {
  const wide = crypto.getRandomValues(new Uint32Array(64));
  assert.ok(new Set(wide).size > 60);
  assert.throws(() => crypto.getRandomValues(new Float32Array(2)), { name: 'TypeMismatchError' });
  assert.throws(() => crypto.getRandomValues(new Uint8Array(65_537)), { name: 'QuotaExceededError' });
  const ids = Array.from({ length: 500 }, () => crypto.randomUUID());
  assert.equal(new Set(ids).size, 500);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('Math.random is even', () => {
  const counts = new Array(10).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const value = random();
    assert.ok(value >= 0 && value < 1);
    counts[Math.floor(value * 10)]++;
  }
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 600, String(counts));
});
