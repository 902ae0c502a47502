// The global scope: what the types declare exists, and what exists is declared.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { globals } from '../src/web/globals.js';

const types = readFileSync(new URL('../coinslot.d.ts', import.meta.url), 'utf8');
const declared = [...types.matchAll(/^declare (?:var|function) (\w+)/gm)].map(([, name]) => name);

test('the types declare exactly what exists', () => {
  const existing = [...Object.keys(globals), 'atob', 'btoa', 'self'];
  assert.deepEqual([...new Set(declared)].sort(), existing.sort());
});

test('the members that the types declare exist', async () => {
  await import('coinslot');
  for (const [, name, body] of types.matchAll(/^interface (\w+)(?:<[^>]*>)?(?: extends [^{]*)? \{\n([\s\S]*?)^\}/gm)) {
    const type = globals[name];
    if (typeof type !== 'function') continue;
    for (const [, member] of body.matchAll(/^ {2}(?:readonly )?(\w+)[(:<?]/gm)) {
      const isThere = member in type.prototype || (() => member in sample(name))();
      assert.ok(isThere, `${name}.${member}`);
    }
  }
});

// An object of a class whose members are its own properties.
function sample(name) {
  if (name === 'Event') return new Event('x');
  if (name === 'CustomEvent') return new CustomEvent('x');
  if (name === 'AbortSignal') return new AbortController().signal;
  if (name === 'CryptoKey') return { type: 1, extractable: 1, algorithm: 1, usages: 1 };
  return new globals[name]();
}

const module = readFileSync(new URL('../coinslot.d.ts', import.meta.url), 'utf8').split('\n// The web platform.')[0];

test('the module exports what its types declare', async () => {
  const exported = Object.keys(await import('coinslot')).filter((name) => name !== 'info');
  const names = [...module.matchAll(/^ {2}export (?:const|function|class) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(exported.sort(), [...new Set(names)].sort());
});

test('the module of tests exports what its types declare', async () => {
  const text = readFileSync(new URL('../test.d.ts', import.meta.url), 'utf8');
  const names = [...text.matchAll(/^ {2}export (?:const|function|class) (\w+)/gm)].map(([, name]) => name);
  const exported = Object.keys(await import('coinslot/test')).filter((name) => name !== 'run');
  assert.deepEqual(exported.sort(), [...new Set(names)].sort());
});
