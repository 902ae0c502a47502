// Modules of CommonJS, as the builder calls them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fromNamespace, missing, missingImport, namespace, pick, run } from '../src/commonjs.js';

test('a module runs once, and again after a failure', () => {
  let runs = 0;
  const body = function (module, exports, require, filename, folder, global) {
    runs += 1;
    assert.equal(this, exports);
    assert.deepEqual([filename, folder, global], ['/node_modules/a/b.js', '/node_modules/a', globalThis]);
    if (runs === 1) throw new Error('once');
    module.exports = { found: require('./c') };
  };
  const load = () => run('node_modules/a/b.js', body, (specifier) => `${specifier}!`, 0);
  assert.throws(load, /once/);
  assert.deepEqual(load(), { found: './c!' });
  assert.equal(load(), load());
  assert.equal(runs, 2);
});

test('a cycle sees the exports that there are', () => {
  const seen = [];
  const first = () => run('first', (module, exports, require) => ((exports.a = 1), require('second')), second, 0);
  const second = () => run('second', (module, exports, require) => seen.push({ ...require('first') }), first, 0);
  first();
  assert.deepEqual(seen, [{ a: 1 }]);
});

test('the default is module.exports, or that of compiled ECMAScript for importers that do not follow Node.js', () => {
  const compiled = { __esModule: true, default: 1, a: 2 };
  assert.equal(namespace(compiled, false).default, 1);
  assert.equal(namespace(compiled, true).default, compiled);
  assert.equal(namespace(compiled, true).a, 2);
  const call = Object.assign(() => 3, { b: 4 });
  assert.equal(namespace(call, false).default(), 3);
  assert.equal(namespace(call, false).b, 4);
  for (const exports of [null, 5, 'text', undefined]) assert.equal(namespace(exports, false).default, exports);
});

test('a name that is absent is an error of the author and undefined to a package', () => {
  const found = namespace({ a: 1 }, false);
  assert.equal(pick(found, 'b', null), undefined);
  assert.throws(() => pick(found, 'b', 'x'), /Could not find export 'b' in module 'x': it has a$/);
});

test('required ECMAScript is marked as such, and is the same each time', () => {
  const found = { a: 1, default: 2 };
  assert.deepEqual({ ...fromNamespace(found) }, found);
  assert.equal(fromNamespace(found).__esModule, true);
  assert.equal(fromNamespace(found), fromNamespace(found));
});

test('a name of a module that runs later is told with the circle', () => {
  const found = Object.create(null, {
    early: { value: 1, enumerable: true },
    late: {
      get() {
        throw new ReferenceError('late is not initialized');
      },
      enumerable: true,
    },
  });
  assert.equal(fromNamespace(found, './b.mjs').early, 1);
  assert.throws(() => fromNamespace(found, './b.mjs').late, /^Error: `late` of '.\/b.mjs' has no value yet: .* circle/);
});

test('what the builder has not followed is told when it is asked for', async () => {
  assert.throws(() => missing('fs', { fs: 'no fs' }), { code: 'MODULE_NOT_FOUND', message: 'no fs' });
  assert.throws(() => missing('toString', {}), /require\("toString"\) cannot be followed/);
  await assert.rejects(missingImport('./x', {}), /import\("\.\/x"\) cannot be followed/);
});
