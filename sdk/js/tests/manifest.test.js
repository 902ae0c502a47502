// The limits of a manifest that an author meets while the plugin is built.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { post } from 'coinslot';
import { makeManifest } from '../src/manifest.js';

test('a schema is measured in bytes of UTF-8', () => {
  const body = { type: 'string', description: '\u00e9'.repeat(40_000) };
  post('/big', { free: true, body }, () => 'answer');
  assert.throws(() => makeManifest(), /POST \/big: the input schema has 80\d{3} bytes; the limit is 65536$/);
});
