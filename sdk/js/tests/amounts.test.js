// Amounts of money: the cases on which the host and the SDKs agree.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { isAmount } from '../src/endpoint.js';

const TABLE = readFileSync(new URL('../../../tests/fixtures/amounts.txt', import.meta.url), 'utf8');

test('the shared table holds', () => {
  const lines = TABLE.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of lines) {
    const [, verdict, text] = /^(valid|invalid) (.*)$/.exec(line);
    assert.equal(isAmount(text), verdict === 'valid', line);
  }
  assert.ok(lines.length > 25, `${lines.length} cases`);
});
