// Validation by plain JSON Schema, and the coercion of text.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { TooComplex, validate } from '../src/json-schema.js';
import { checkSchema } from '../src/json-schema-document.js';
import { check, fields, inputSchema, prepare } from '../src/schema.js';

const problems = (schema, value) =>
  (validate(schema, structuredClone(value)).issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

function fits(schema, good, bad) {
  for (const value of good) assert.deepEqual(problems(schema, value), [], JSON.stringify(value));
  for (const value of bad) assert.notDeepEqual(problems(schema, value), [], JSON.stringify(value));
}

// Each item was compared with copies of all before it: 6000 took seconds, and callers choose the number.
test('items are compared in time that grows with their number', () => {
  const texts = Array.from({ length: 30_000 }, (_, i) => `item ${i}`);
  const objects = texts.map((text) => ({ text, list: [text, 1, null] }));
  const schema = { uniqueItems: true };
  const started = performance.now();
  fits(
    schema,
    [texts, objects],
    [
      [...texts, texts[0]],
      [...objects, { list: ['item 7', 1, null], text: 'item 7' }],
    ],
  );
  assert.ok(performance.now() - started < 2000, `${performance.now() - started} ms`);
  fits(
    schema,
    [[1, '1', true, 'true', null, 'null', [], {}, [[]], ['1'], [1], '"1']],
    [
      [[{}], [{}]],
      [0, -0],
      ['a', 'a'],
    ],
  );
});

test('each keyword lets through what it should, and nothing else', () => {
  fits(true, [1, null], []);
  fits({ not: {} }, [], [1, null]);
  fits({ type: 'integer' }, [1, 1.0, -3], [1.5, '1', null, true]);
  fits({ type: ['string', 'null'] }, ['', null], [1, {}]);
  fits({ type: 'object' }, [{}], [[], null, 'x']);
  fits({ enum: [1, 'a', { b: [1] }, null] }, [1, 'a', { b: [1] }, null], [2, { b: [2] }, { b: [1], c: 1 }]);
  fits({ const: { a: 1 } }, [{ a: 1 }], [{ a: 2 }, {}]);
  fits({ minimum: 1, exclusiveMaximum: 3 }, [1, 2.9, 'text'], [0.9, 3]);
  fits({ exclusiveMinimum: 1, maximum: 3 }, [1.1, 3], [1, 3.1]);
  fits({ multipleOf: 0.01 }, [0, 19.99, 0.07, 1e6, 5_000_000.01], [0.001, 19.999, 5_000_000.015]);
  fits({ multipleOf: 2 }, [1e9, 0, -4, 2 ** 60], [1e9 + 1, Number.MAX_SAFE_INTEGER, -3, 0.5]);
  fits({ multipleOf: 0.1 }, [1e9 + 0.1, 0.3], [1e9 + 0.05, 123456789.25]);
  fits({ minLength: 2, maxLength: 3 }, ['ab', '😀😀😀'], ['a', '😀', 'abcd']);
  fits({ pattern: '^\\p{L}+$' }, ['äb'], ['a1']);
  fits({ items: { type: 'number' } }, [[], [1, 2]], [[1, 'a']]);
  fits({ prefixItems: [{ type: 'string' }], items: { type: 'number' } }, [['a'], ['a', 1], []], [[1], ['a', 'b']]);
  fits({ prefixItems: [{}], items: false }, [[1]], [[1, 2]]);
  fits({ minItems: 1, maxItems: 2, uniqueItems: true }, [[1], [1, '1']], [[], [1, 2, 3], [{ a: 1 }, { a: 1 }]]);
  fits({ contains: { type: 'number' }, maxContains: 1 }, [['a', 1]], [['a'], [1, 2]]);
  fits({ contains: { const: 1 }, minContains: 0 }, [[]], []);
  fits({ required: ['a'], properties: { a: { type: 'string' } } }, [{ a: '' }], [{}, { a: 1 }]);
  fits({ properties: { a: {} }, additionalProperties: false }, [{ a: 1 }, {}], [{ b: 1 }]);
  fits(
    { patternProperties: { '^x': { type: 'number' } }, additionalProperties: false },
    [{ x1: 1 }],
    [{ x1: 'a' }, { y: 1 }],
  );
  fits({ additionalProperties: { type: 'number' } }, [{ a: 1 }], [{ a: 'x' }]);
  fits({ propertyNames: { maxLength: 2 } }, [{ ab: 1 }], [{ abc: 1 }]);
  fits({ minProperties: 1, maxProperties: 2 }, [{ a: 1 }], [{}, { a: 1, b: 2, c: 3 }]);
  fits({ dependentRequired: { a: ['b'] } }, [{}, { a: 1, b: 1 }], [{ a: 1 }]);
  fits({ dependentSchemas: { a: { required: ['b'] } } }, [{}, { a: 1, b: 1 }], [{ a: 1 }]);
  fits({ allOf: [{ minimum: 1 }, { maximum: 3 }] }, [2], [0, 4]);
  fits({ anyOf: [{ type: 'string' }, { minimum: 3 }] }, ['a', 4], [2]);
  fits({ oneOf: [{ minimum: 1 }, { maximum: 3 }] }, [0, 4], [2]);
  fits(
    { if: { properties: { a: { const: 1 } }, required: ['a'] }, then: { required: ['b'] }, else: { required: ['c'] } },
    [{ a: 1, b: 1 }, { c: 1 }],
    [{ a: 1 }, {}],
  );
  fits({ allOf: [{ properties: { a: {} } }], unevaluatedProperties: false }, [{ a: 1 }], [{ b: 1 }]);
  fits(
    { anyOf: [{ properties: { a: { type: 'string' } }, required: ['a'] }, {}], unevaluatedProperties: false },
    [{ a: 'x' }],
    [{ a: 1 }],
  );
  fits({ prefixItems: [{}], unevaluatedItems: { type: 'number' } }, [['a', 1]], [['a', 'b']]);
  const tree = {
    $defs: { node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, additionalProperties: false } },
    $ref: '#/$defs/node',
  };
  fits(tree, [{}, { next: { next: {} } }], [{ next: { next: 1 } }, { nxt: {} }]);
  fits(
    {
      $defs: { s: { $anchor: 'name', type: 'string' }, 'a/b': { type: 'number' } },
      properties: { a: { $ref: '#name' }, b: { $ref: '#/$defs/a~1b' } },
    },
    [{ a: 'x', b: 1 }],
    [{ a: 1 }, { b: 'x' }],
  );
});

test('a problem says what is wrong, and what is allowed', () => {
  const schema = {
    type: 'object',
    required: ['text'],
    properties: {
      text: { type: 'string', minLength: 1, maxLength: 3 },
      n: { type: 'integer', maximum: 10 },
      kind: { enum: ['a', 'b'] },
    },
    additionalProperties: false,
  };
  assert.deepEqual(problems(schema, { n: 11, kind: 'c', txt: 1 }), [
    'text: is missing',
    'n: is 11; at most 10 is allowed',
    'kind: is none of "a", "b"',
    'txt: is not known here: there are text, n, kind',
  ]);
  assert.deepEqual(problems(schema, { text: '', n: 'x' }), [
    'text: is empty',
    'n: is a string, and should be an integer',
  ]);
  assert.deepEqual(problems(schema, []), [': is an array, and should be an object']);
  const either = {
    anyOf: [{ type: 'object', properties: { a: { type: 'object', required: ['b'] } } }, { type: 'string' }],
  };
  assert.deepEqual(problems(either, { a: {} }), ['a.b: is missing']);
});

test('a missing property gets its default', () => {
  const schema = {
    properties: { lang: { default: 'en' }, deep: { properties: { x: { default: [1] } }, default: {} } },
  };
  assert.deepEqual(validate(schema, {}).value, { lang: 'en', deep: { x: [1] } });
});

// A quote read `large` of a branch that did not fit, and asked for the price of a large one.
test('the defaults of a subschema are for a value that fits it', () => {
  const pro = { properties: { kind: { const: 'pro' }, size: { default: 'large' } }, required: ['kind'] };
  const basic = { properties: { kind: { const: 'basic' }, size: { type: 'string' } }, required: ['kind'] };
  for (const rule of ['anyOf', 'oneOf']) {
    const schema = { [rule]: [pro, basic] };
    assert.deepEqual(validate(schema, { kind: 'basic' }).value, { kind: 'basic' }, rule);
    assert.deepEqual(validate(schema, { kind: 'pro' }).value, { kind: 'pro', size: 'large' }, rule);
  }
  const closed = (one) => ({ ...one, additionalProperties: false });
  const other = closed({ properties: { kind: { const: 'basic' } } });
  assert.deepEqual(validate({ oneOf: [closed(pro), other] }, { kind: 'basic' }).value, { kind: 'basic' });
  const nested = {
    oneOf: [{ allOf: [{ properties: { a: { default: 1 } } }, { required: ['b'] }] }, { required: ['c'] }],
  };
  assert.deepEqual(validate(nested, { c: 1 }).value, { c: 1 });
  assert.deepEqual(validate(nested, { b: 1 }).value, { b: 1, a: 1 });
  const both = {
    anyOf: [{ properties: { a: { default: 1 } } }, { properties: { a: { default: 2 }, b: { default: 3 } } }],
  };
  assert.deepEqual(validate(both, {}).value, { a: 1, b: 3 });
  const referred = { $defs: { pro }, anyOf: [{ $ref: '#/$defs/pro' }, basic] };
  assert.deepEqual(validate(referred, { kind: 'basic' }).value, { kind: 'basic' });
  assert.deepEqual(validate(referred, { kind: 'pro' }).value, { kind: 'pro', size: 'large' });
});

test('a subschema that only asks about a value adds nothing to it', () => {
  const a = { properties: { a: { default: 1 } } };
  for (const [schema, value] of [
    [{ not: { ...a, required: ['b'] } }, {}],
    [{ not: { not: a } }, {}],
    [{ if: a }, {}],
    [{ if: { ...a, required: ['b'] }, else: true }, {}],
    [{ contains: a }, [{}]],
    [{ dependentSchemas: { b: a }, properties: { c: { default: 1 } } }, { c: 2 }],
    [{ properties: { a: { default: 1 } }, required: ['b'] }, {}],
  ]) {
    const found = structuredClone(value);
    validate(schema, found);
    assert.deepEqual(found, value, JSON.stringify(schema));
  }
  assert.deepEqual(validate({ if: { required: ['b'] }, then: a }, { b: 2 }).value, { b: 2, a: 1 });
  assert.deepEqual(validate({ dependentSchemas: { b: a } }, { b: 2 }).value, { b: 2, a: 1 });
  // A value is checked as it came, as the host does.
  assert.deepEqual(problems({ ...a, minProperties: 1 }, {}), [': has 0 fields; at least 1 are needed']);
  fits({ if: { properties: { a: { type: 'string' } } }, unevaluatedProperties: false }, [{ a: '' }], [{ a: 1 }]);
});

const nest = (depth, inner = {}) => {
  let value = inner;
  for (let i = 0; i < depth; i++) value = { next: value };
  return value;
};

// The deepest JSON that the host lets through used up the stack of the instance; alternatives that refer to their own
// schema took time that doubled with each level.
test('a value that is nested too deeply for its schema is refused', () => {
  const node = { type: 'object', properties: { next: { $ref: '#' } } };
  assert.deepEqual(problems(node, nest(127)), []);
  const either = { properties: { next: { anyOf: [{ allOf: [{ $ref: '#' }] }, { type: 'null' }] } } };
  assert.deepEqual(problems(either, nest(50)), []);
  assert.throws(() => validate(either, nest(100)), TooComplex);
  try {
    check(prepare(either), nest(100), 'body', 'POST /x');
    assert.fail();
  } catch (error) {
    assert.deepEqual([error.status, error.code], [400, 'input_too_complex']);
    assert.deepEqual(error.body().pointer, '/body');
  }
  assert.throws(() => validate({ $ref: '#' }, {}), TooComplex);
});

test('a reference is followed once for a value', () => {
  for (const rule of ['anyOf', 'oneOf', 'allOf']) {
    const two = { properties: { next: { [rule]: [{ $ref: '#/$defs/one' }, { $ref: '#/$defs/other' }] } } };
    const schema = { ...two, $defs: { one: { ...two, maxProperties: 1 }, other: two } };
    const started = performance.now();
    validate(schema, nest(60));
    assert.ok(performance.now() - started < 1000, `${rule}: ${performance.now() - started} ms`);
  }
  // Each level would have all problems of the next one twice.
  const same = {
    allOf: [{ properties: { next: { $ref: '#' } } }, { properties: { next: { $ref: '#' } } }],
    type: 'object',
  };
  assert.throws(() => validate(same, nest(30, 1)), TooComplex);
  assert.deepEqual(problems(same, nest(2, 1))[0], 'next.next: is an integer, and should be an object');
});

test('the types of a field are found in alternatives that refer to themselves', () => {
  const list = Array.from({ length: 12 }, () => ({ $ref: '#/$defs/value' }));
  const json = {
    properties: { n: { $ref: '#/$defs/value' } },
    $defs: { value: { anyOf: [...list, { type: 'integer' }] } },
  };
  assert.deepEqual(fields([['n', '3']], json), { n: 3 });
});

test('a name that every object inherits is a name like any other', () => {
  const names = ['constructor', 'toString', '__proto__', 'valueOf'];
  for (const name of names) {
    const value = JSON.parse(`{"${name}":1}`);
    assert.deepEqual(problems({ dependentRequired: { a: ['b'] }, dependentSchemas: { a: false } }, value), [], name);
    assert.deepEqual(problems(JSON.parse(`{"dependentRequired":{"${name}":["b"]}}`), value), [
      `b: is needed beside ${name}`,
    ]);
    assert.deepEqual(problems({ properties: { a: {} }, additionalProperties: false }, value).length, 1);
    assert.throws(() => checkSchema({ $defs: {}, properties: { a: { $ref: `#/$defs/${name}` } } }), /leads to nothing/);
    const { path } = inputSchema({ names: [name] }).properties;
    assert.deepEqual(Object.entries(path.properties), [[name, { type: 'string' }]]);
  }
});

test('a reference counts from the subschema whose `$id` is nearest, and names no data', () => {
  const part = { $id: 'part', $defs: { n: { type: 'number' }, a: { $anchor: 'a', type: 'null' } } };
  fits(
    {
      $defs: {
        n: { type: 'string' },
        part: { ...part, properties: { own: { $ref: '#/$defs/n' }, a: { $ref: '#a' } } },
      },
      properties: {
        part: { $ref: 'part' },
        root: { $ref: '#/$defs/n' },
        inside: { $ref: 'part#/$defs/n' },
        through: { $ref: '#/$defs/part/$defs/n' },
        named: { $ref: 'part#a' },
      },
    },
    [{ part: { own: 1, a: null }, root: 'x', inside: 1, through: 1, named: null }],
    [{ part: { own: 'x' } }, { part: { a: 1 } }, { root: 1 }, { inside: 'x' }, { through: 'x' }, { named: 1 }],
  );
  const data = { examples: [{ $id: 'x', type: 'number' }], const: { $id: 'x', type: 'number' } };
  assert.throws(() => checkSchema({ $ref: 'x', ...data }), /leads to nothing/);
  fits({ $defs: { one: data, two: { $id: 'x', type: 'string' } }, $ref: 'x' }, ['a'], [1]);
});

test('a reference leads also to where no keyword does', () => {
  const schema = { shared: { a: { $ref: '#/shared/b' }, b: { type: 'number' } }, $ref: '#/shared/a' };
  fits(schema, [1], ['x']);
  assert.throws(() => checkSchema({ shared: { $ref: '#/none' }, $ref: '#/shared' }), /leads to nothing/);
  assert.equal(
    inputSchema({ names: [], body: prepare(schema) }).properties.body.shared.a.$ref,
    '#/properties/body/shared/b',
  );
});

test('a schema that cannot be followed is refused', () => {
  assert.throws(
    () => checkSchema({ properties: { a: { $ref: 'https://x.y/z' } } }),
    /leads to nothing: references stay within/,
  );
  assert.throws(() => checkSchema({ $dynamicRef: '#x' }), /use \$ref/);
  assert.throws(() => checkSchema({ pattern: '(' }), SyntaxError);
});

test('a refusal names each field by its JSON pointer', () => {
  const prepared = prepare({
    type: 'object',
    properties: { 'a/b': { type: 'object', required: ['c'] } },
    required: ['x'],
  });
  try {
    check(prepared, { 'a/b': {} }, 'body', 'POST /x');
    assert.fail();
  } catch (error) {
    assert.deepEqual([error.status, error.code], [400, 'invalid_body']);
    assert.equal(error.message, '/body/x is missing; /body/a~1b/c is missing');
    const { message } = error;
    assert.deepEqual(error.body(), { error: 'invalid_body', message, pointer: '/body/x', code: 'required' });
  }
});

test('text takes the type that its schema names', () => {
  const json = {
    properties: {
      n: { type: 'integer' },
      x: { type: 'number' },
      on: { type: 'boolean' },
      list: { type: 'array', items: { type: 'integer' } },
      text: { type: 'string' },
      either: { anyOf: [{ type: 'integer' }, { type: 'string' }] },
      maybe: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
      level: { enum: [1, 2, 'max'] },
      ref: { $ref: '#/$defs/n' },
    },
    additionalProperties: { type: 'boolean' },
    $defs: { n: { type: 'number' } },
  };
  const pairs = [
    ...[
      ['n', '3'],
      ['x', '-1.5e2'],
      ['on', 'true'],
      ['list', '1'],
      ['list', '2'],
      ['text', '7'],
      ['either', '7'],
      ['maybe', 'null'],
    ],
    ...[
      ['level', '2'],
      ['ref', '.5'],
      ['other', 'false'],
    ],
  ];
  assert.deepEqual(fields(pairs, json), {
    ...{ n: 3, x: -150, on: true, list: [1, 2], text: '7', either: '7', maybe: null, level: 2, ref: 0.5, other: false },
  });
  assert.deepEqual(fields([['list', '1']], json), { list: [1] });
  const odd = [
    ['n', ' 3'],
    ['x', '0x10'],
    ['on', 'yes'],
    ['level', 'max'],
    ['text', 'a'],
    ['text', 'b'],
  ];
  assert.deepEqual(fields(odd, json), { n: ' 3', x: '0x10', on: 'yes', level: 'max', text: ['a', 'b'] });
  assert.deepEqual(Object.keys(fields([['__proto__', 'x']], {})), ['__proto__']);
  assert.deepEqual(fields([['n', '']], json), { n: '' });
});

test('the parts of the input are one schema, whose references lead to their places', () => {
  const node = { $defs: { n: { properties: { next: { $ref: '#/$defs/n' }, all: { $ref: '#' } } } }, $ref: '#/$defs/n' };
  const input = inputSchema({
    names: ['id'],
    path: undefined,
    query: prepare({ type: 'object', properties: { q: { const: { $ref: '#' } } } }),
    body: prepare(node),
  });
  assert.deepEqual(input.required, ['path', 'body']);
  assert.deepEqual(input.properties.path, { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] });
  assert.equal(input.properties.body.$ref, '#/properties/body/$defs/n');
  assert.equal(input.properties.body.$defs.n.properties.next.$ref, '#/properties/body/$defs/n');
  assert.equal(input.properties.body.$defs.n.properties.all.$ref, '#/properties/body');
  assert.deepEqual(input.properties.query.properties.q.const, { $ref: '#' });
  assert.equal(inputSchema({ names: [] }), undefined);
  const named = { $id: 'named', $defs: { n: {} }, $ref: '#/$defs/n' };
  const { body } = inputSchema({ names: [], body: prepare(named) }).properties;
  assert.equal(body.$ref, '#/$defs/n');
  const inner = { items: named, properties: { a: { $ref: '#/items' } } };
  const { query } = inputSchema({ names: [], query: prepare(inner) }).properties;
  assert.equal(query.items.$ref, '#/$defs/n');
  assert.equal(query.properties.a.$ref, '#/properties/query/items');
});
