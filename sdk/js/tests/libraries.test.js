// Schemas of zod, ArkType, Valibot and TypeBox: validation, JSON Schema, coercion and messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Type } from '@sinclair/typebox';
import { toStandardJsonSchema } from '@valibot/to-json-schema';
import { type } from 'arktype';
import * as v from 'valibot';
import * as z from 'zod';
import * as mini from 'zod/mini';

import { check, fields, prepare, withJsonSchema } from '../src/schema.js';

function described(shape) {
  const schema = mini.object(shape);
  return withJsonSchema(schema, mini.toJSONSchema(schema));
}

const KINDS = {
  zod: z.object({ n: z.int().min(1).max(9), tag: z.enum(['a', 'b']).optional() }),
  'zod/mini': described({
    n: mini.int().check(mini.minimum(1), mini.maximum(9)),
    tag: mini.optional(mini.enum(['a', 'b'])),
  }),
  arktype: type({ n: '1 <= number.integer <= 9', 'tag?': "'a' | 'b'" }),
  valibot: toStandardJsonSchema(
    v.object({
      n: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(9)),
      tag: v.optional(v.picklist(['a', 'b'])),
    }),
  ),
  typebox: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 9 }),
    tag: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
  }),
};

for (const [name, schema] of Object.entries(KINDS)) {
  test(`${name} validates, describes and coerces`, () => {
    const prepared = prepare(schema);
    assert.equal(prepared.problem, undefined);
    assert.equal(prepared.json.type, 'object');
    assert.deepEqual(prepared.json.required, ['n']);
    assert.equal(prepared.json.$schema, undefined);
    const coerced = fields(
      [
        ['n', '3'],
        ['tag', 'b'],
      ],
      prepared.json,
    );
    assert.deepEqual(check(prepared, coerced, 'query', 'GET /x'), { n: 3, tag: 'b' });
    for (const [bad, code] of [
      [{ n: 99 }, 'maximum'],
      [{ n: 1.5 }, 'type'],
      [{ n: 'x' }, 'type'],
    ]) {
      assert.throws(
        () => check(prepared, bad, 'query', 'GET /x'),
        (error) => {
          assert.deepEqual(
            [error.status, error.code, error.more],
            [400, 'invalid_query', { pointer: '/query/n', code }],
            error.message,
          );
          assert.match(error.message, /^\/query\/n/);
          return true;
        },
      );
    }
    assert.throws(() => check(prepared, {}, 'query', 'GET /x'), /\/query\/n/);
  });
}

test('zod: transforms, defaults, coercion and nested problems', () => {
  const schema = z.object({
    lang: z.enum(['en', 'de']).default('en'),
    n: z.coerce.number(),
    tags: z.array(z.string().max(3)),
  });
  const prepared = prepare(schema);
  assert.deepEqual(check(prepared, { n: '4', tags: [] }, 'body', 'x'), { lang: 'en', n: 4, tags: [] });
  assert.throws(
    () => check(prepared, { n: 1, tags: ['a', 'long'] }, 'body', 'x'),
    /^Refusal: \/body\/tags\/1: Too big/,
  );
  const upper = prepare(z.object({ s: z.string().transform((s) => s.toUpperCase()) }));
  assert.equal(upper.json.properties.s.type, 'string');
  assert.deepEqual(check(upper, { s: 'a' }, 'body', 'x'), { s: 'A' });
});

test('an asynchronous schema is a mistake of its author', () => {
  const schema = z.object({ s: z.string().refine(async () => true) });
  assert.throws(
    () => check(prepare(schema), { s: '' }, 'body', 'POST /x'),
    /POST \/x: the schema of its body is asynchronous/,
  );
});

test('a schema without JSON Schema works, and says what is lost', () => {
  const prepared = prepare(v.object({ a: v.string() }));
  assert.match(prepared.problem, /toStandardJsonSchema of @valibot/);
  assert.deepEqual(check(prepared, { a: 'x' }, 'body', 'x'), { a: 'x' });
  assert.match(prepare(z.object({ d: z.date() })).problem, /its JSON Schema cannot be told/);
});

test('what is no schema is refused', () => {
  assert.throws(() => prepare('string'), /"string" is not a schema/);
  assert.throws(() => prepare(() => {}), /is not a schema: call it/);
  assert.throws(() => prepare({ parse() {} }), /update its library/);
});
