// What an author reads after a mistake in a declaration, before anything is built.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type } from 'arktype';
import { charge, config, del, get, plugin, post, Refusal, store } from 'coinslot';
import * as z from 'zod';

import { lines } from './support/host.js';

const answer = () => 'ok';

const MISTAKES = [
  [
    () => get('/a', answer),
    /^GET \/a: what does it cost\? Write get\('\/a', \{ price: '0\.01', summary: '\.\.' \}, \(input\) => \.\.\), or \{ free: true \}$/,
  ],
  [
    () => get('/a', {}, answer),
    /^GET \/a: what does it cost\? Write price: '0\.01' \(US dollars\), quoted: .*, or free: true$/,
  ],
  [
    () => get('/a', { price: 0.001 }, answer),
    /^GET \/a: a price is text, so that no part of a cent is lost to rounding: price: '0\.001'$/,
  ],
  [() => get('/a', { price: 1e-7 }, answer), /price: '0\.0000001'$/],
  [() => get('/a', { price: '$0.01' }, answer), /'\$0\.01' is not an amount.*price: '0\.01'$/],
  [() => get('/a', { price: '0,01' }, answer), /is not an amount/],
  [() => get('/a', { price: '0.00' }, answer), /costs nothing\. Write free: true instead$/],
  [() => get('/a', { price: '0.00000001' }, answer), /finer than the smallest unit of USDC.*at least '0\.000001'$/],
  [() => get('/a', { price: '0.01', free: true }, answer), /give one price, not price and free$/],
  [() => get('/a', { quoted: '0.5' }, answer), /quoted: '0\.5' needs quote: \(\{ body \}\) => '0\.02'/],
  [
    () => get('/a', { price: '0.5', quote: answer }, answer),
    /quote needs quoted: '0\.50', the most that a request can cost, in place of price$/,
  ],
  [
    () => get('/a', { free: true, pass: { seconds: 1, requests: 1 } }, answer),
    /^GET \/a: a pass is bought by a payment, and this endpoint is free$/,
  ],
  [
    () => get('/a', { quoted: '1', quote: answer, pass: { seconds: 1, requests: 1 } }, answer),
    /where the price is quoted the operator may give one$/,
  ],
  [() => get('/a', { price: '1', pass: { seconds: 1 } }, answer), /pass: \{ seconds: 3600, requests: 100 \}$/],
  [
    () => get('/a', { price: '1', pass: { seconds: 1, requests: 0.5 } }, answer),
    /requests of a pass is a whole number from 1 to 1000000/,
  ],
  [() => get('/a', { price: '0.01' }), /the last argument is the function that answers: get\('\/a'/],
  [() => get('a', { price: '0.01' }, answer), /^GET a: the path: start it with a slash: '\/a'$/],
  [() => get('/a/', { price: '0.01' }, answer), /ends with a slash: remove it/],
  [() => get('/x{id}', { price: '0.01' }, answer), /a parameter is a whole segment/],
  [() => get('/.well-known/x', { price: '0.01' }, answer), /belong to the host/],
  [() => get(7, { price: '0.01' }, answer), /the path is text/],
  [() => get('/a', { cost: '0.01' }, answer), /no option is called cost: write price$/],
  [() => get('/a', { price: '0.01', mime_type: 'x' }, answer), /no option is called mime_type: write mimeType$/],
  [() => get('/a', { price: '0.01', tags: [] }, answer), /no option is called tags\. There are price, free/],
  [() => get('/a', { price: '0.01', body: z.object({}) }, answer), /a GET request has no body: use query, or post$/],
  [() => del('/a', { price: '0.01', body: 'text' }, answer), /a DELETE request has no body/],
  [
    () => post('/a', { price: '0.01', body: 'json' }, answer),
    /body: "json" is not a schema\. Give a schema of zod.*or 'bytes' or 'text'/,
  ],
  [() => get('/a', { price: '0.01', query: () => {} }, answer), /query: the function .*is not a schema/],
  [
    () => get('/a', { price: '0.01', query: { type: 'objekt' } }, answer),
    /query: \{ type: "objekt" \} is no type: there are/,
  ],
  [() => get('/a', { price: '0.01', query: { $ref: '#/no' } }, answer), /query: \{ \$ref: '#\/no' \} leads to nothing/],
  [
    () => get('/a/{id}', { price: '0.01', path: z.object({ key: z.string() }) }, answer),
    /the schema of path names "key", and the path has \{id\}$/,
  ],
  [() => get('/a', { price: '0.01', path: z.object({ id: z.string() }) }, answer), /the path has no parameter$/],
  [
    () => get('/a', { price: '0.01', summary: 'x'.repeat(121) }, answer),
    /summary has 121 characters, and at most 120 fit$/,
  ],
  [() => get('/a', { price: '0.01', check: 'x' }, answer), /check is a function that throws a Refusal/],
  [() => get('/a', { price: '0.01', headers: 'accept' }, answer), /headers: \['accept-language'\]$/],
  [() => plugin({ name: 'Quote Of Day' }), /lower-case letters, digits and hyphens/],
  [() => plugin({ version: '1' }), /write a semantic version: '1\.4\.0'$/],
];

for (const [make, expected] of MISTAKES) {
  test(`an author reads: ${String(expected).slice(1, 70)}`, () => {
    assert.throws(make, (error) => {
      assert.match(error.message, expected);
      assert.match(error.stack, /declare\.test\.js:\d+:\d+/);
      assert.doesNotMatch(error.stack, /endpoint\.js/);
      return true;
    });
  });
}

test('one path is declared once', () => {
  get('/twice/{a}', { free: true }, answer);
  assert.throws(
    () => get('/twice/{b}', { free: true }, answer),
    /GET \/twice\/\{b\}: this path is declared already, at .*declare\.test\.js:\d+:\d+$/,
  );
  post('/twice/{b}', { free: true }, answer);
});

test('a doubtful declaration is warned of', () => {
  lines.length = 0;
  get('/express/:id', { free: true }, answer);
  assert.match(lines[0], /^GET \/express\/:id: :id is taken letter by letter; a parameter is \{id\}\n$/);
  post('/dates', { free: true, body: z.object({ at: z.date() }) }, answer);
  assert.match(lines[1], /^POST \/dates: body: its JSON Schema cannot be told: .* \(.*declare\.test\.js:\d+:\d+\)\n$/);
  get('/metered', { upTo: '0.05' }, () => 'a');
  assert.match(
    lines[2],
    /^GET \/metered: upTo: hosts of this version sell nothing at a metered price, .* \(.*:\d+:\d+\)\n$/,
  );
});

test('schemas of any library can be declared', () => {
  post('/ark', { price: '0.01', body: type({ a: 'string' }) }, ({ body }) => body.a);
  post('/raw', { price: '0.01', body: 'bytes' }, ({ body }) => body);
});

test('what a snapshot would freeze is refused while the plugin is built', async () => {
  const sentence = (what) =>
    new RegExp(
      `^${what} is not available here: this code runs once, when the plugin is built, and .* Move it into the handler`,
    );
  assert.throws(() => Date.now(), { message: sentence('Date\\.now\\(\\)') });
  assert.throws(() => new Date(), { message: sentence('new Date\\(\\) without an argument') });
  assert.throws(() => Date(), { message: sentence('Date\\(\\)') });
  assert.throws(() => Math.random(), { message: sentence('Math\\.random\\(\\)') });
  assert.throws(() => performance.now(), { message: sentence('performance\\.now\\(\\)') });
  assert.throws(() => setTimeout(answer, 1), { message: sentence('setTimeout') });
  assert.throws(() => AbortSignal.timeout(1), { message: sentence('a timer') });
  await assert.rejects(() => fetch('https://a.b'), { message: sentence('fetch') });
  assert.throws(() => config('key'), { message: sentence("config\\('key'\\)") });
  assert.throws(() => store.get('key'), { message: sentence("store\\.get\\('key'\\)") });
  assert.throws(() => charge('0.01'), { message: sentence('charge\\(\\)') });
  assert.equal(new Date(0).toISOString(), '1970-01-01T00:00:00.000Z');
  assert.equal(new Date(2020, 1).constructor, Date);
  assert.ok(new Date(0) instanceof Date);
  assert.equal(Date.UTC(1970, 0), 0);
  class Later extends Date {}
  assert.ok(new Later(5) instanceof Later && new Later(5).getTime() === 5);
});

test('a refusal has a status, a code and a sentence', () => {
  assert.throws(() => new Refusal(200, 'a', 'b'), /the status is from 400 to 599, and not 402/);
  assert.throws(() => new Refusal(402, 'a', 'b'), RangeError);
  assert.throws(() => new Refusal(400, 'Not A Word', 'b'), /of lower-case letters, digits and _/);
  assert.throws(() => new Refusal(400, 'a'), /say in a sentence/);
  assert.deepEqual(new Refusal(404, 'no_such', 'ask', { see: 1 }).body(), { error: 'no_such', message: 'ask', see: 1 });
  // Callers act on these three, and only the host knows whether money was charged.
  const more = { error: 'x', message: 'y', charged: 'yes', see: 1 };
  assert.deepEqual(new Refusal(400, 'no', 'ask', more).body(), { error: 'no', message: 'ask', see: 1 });
});
