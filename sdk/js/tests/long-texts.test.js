// Texts of callers that make an expression try the same thing again and again. Each took minutes: the square of its
// length, where it now takes milliseconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fields } from '../src/schema.js';
import { parseForm } from '../src/web/blob.js';
import { Headers } from '../src/web/headers.js';
import { URL } from '../src/web/url.js';

const LONG = 1_000_000;

test('a text that is nearly a number is read once', () => {
  const schema = { type: 'object', properties: { n: { type: 'number' } } };
  const text = '1'.repeat(LONG) + 'x';
  assert.equal(fields([['n', text]], schema).n, text);
});

test('white space inside a header field or a URL is passed over once', () => {
  const inner = `a${' '.repeat(LONG)}b`;
  assert.equal(new Headers([['x', ` \t${inner} \t`]]).get('x'), inner);
  assert.equal(new URL(`  http://a.example/?${' '.repeat(LONG)}b  `).search.length, 1 + 3 * LONG + 1);
});

test('a boundary that is longer than RFC 2046 allows is refused', () => {
  const boundary = '-'.repeat(71);
  assert.throws(() => parseForm(new Uint8Array(100), `multipart/form-data; boundary=${boundary}`), /70 characters/);
});
