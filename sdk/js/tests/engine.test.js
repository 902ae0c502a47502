// The SDK in QuickJS-ng: everything that a plugin does there, with libraries that authors use.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { evaluate } from './support/engine.js';

const ASK = `
  const ask = async (target, body) => { await component.handler.handle(incoming(target, body)); };
`;

test('a plugin with zod and marked is described, quoted and served', async () => {
  const plugin = `
import * as z from 'zod';
import { marked } from 'marked';
import { get, post } from 'coinslot';
const Doc = z.object({ markdown: z.string().min(1), n: z.int().default(2) });
post('/render/{id}', { quoted: '0.01', quote: ({ body }) => (body.markdown.length / 1e4).toFixed(4), body: Doc }, ({ body, path, receipt, request }) => (
  { html: marked.parse(body.markdown), n: body.n, id: path.id, by: receipt.payer, url: request.url }
));
get('/oops', { price: '0.001' }, function handler() {
  const nothing = undefined;
  return nothing.name;
});
get('/ticks', { free: true }, async function* () {
  for (let i = 0; i < 3; i++) {
    yield { event: 'tick', data: { i } };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});
`;
  const result = await evaluate(
    plugin,
    `${ASK}
    const { endpoints } = component.manifest.describe();
    const body = new TextEncoder().encode('{"markdown":"# hi"}');
    const quoted = component.quote.quote({ method: 'POST', route: '/render/{id}', params: [['id', 'x']], query: null, headers: [], body });
    let refused;
    try { component.quote.quote({ method: 'POST', route: '/render/{id}', params: [], query: null, headers: [], body: [123, 125] }); } catch (error) { refused = error.payload; }
    await ask('POST /render/a%20b?c=d', '{"markdown":"# hi"}');
    await ask('GET /oops');
    await ask('GET /ticks');
    for (let i = 0; i < 5_000; i++) await undefined;
    return { quoted, refused, schema: JSON.parse(endpoints[0].inputSchema).properties.body.required, ...sent };`,
  );
  assert.deepEqual(result.quoted, { price: { tag: 'amount', val: '0.0004' }, extensions: [] });
  assert.deepEqual([result.refused.status, result.refused.code, result.schema], [400, 'invalid_body', ['markdown']]);
  const [rendered, oops, ticks] = result.answers;
  assert.deepEqual(JSON.parse(rendered.body.text), {
    ...{ html: '<h1>hi</h1>\n', n: 2, id: 'a b', by: '0xabc', url: 'https://pay.example/render/a%20b?c=d' },
  });
  assert.deepEqual([oops.status, ticks.fields['content-type']], [500, 'text/event-stream']);
  assert.equal(ticks.body.text, [0, 1, 2].map((i) => `event: tick\ndata: {"i":${i}}\n\n`).join(''));
  assert.deepEqual(ticks.end.value, { tag: 'ok', val: null });
  assert.match(
    result.log,
    /^GET \/oops failed: TypeError: cannot read property 'name' of undefined at handler \(plugin\.js:\d+:\d+\)\n/,
  );
});

test('schemas of ArkType, Valibot and TypeBox validate in the engine', async () => {
  const plugin = `
import { Type } from '@sinclair/typebox';
import { type } from 'arktype';
import * as v from 'valibot';
import { post } from 'coinslot';
import { call, expect, test } from 'coinslot/test';
const schemas = { ark: type({ n: 'number < 5' }), valibot: v.object({ n: v.pipe(v.number(), v.maxValue(4)) }), typebox: Type.Object({ n: Type.Number({ maximum: 4 }) }) };
for (const [name, body] of Object.entries(schemas)) {
  post('/' + name, { price: '1', body }, ({ body }) => body.n);
  test(name, async () => {
    expect(await (await call('POST /' + name, { body: { n: 3 } })).json()).toBe(3);
    expect((await call('POST /' + name, { body: { n: 9 } })).status).toBe(400);
  });
}
test('fails', () => expect(1).toBe(2));
`;
  const result = await evaluate(plugin, `${ASK} await ask('POST /tests'); return sent;`, 'coinslot:test-exports');
  const lines = result.answers[0].body.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines.at(-1), { event: 'end', passed: 3, failed: 1, skipped: 0 }, JSON.stringify(lines));
  assert.match(lines.at(-2).error.frames[0], /^at plugin\.js:15:\d+$/);
});

test('a client of OpenAI asks and streams', async () => {
  const plugin = `
import { post } from 'coinslot';
import { call, events, expect, mockFetch, test } from 'coinslot/test';
import OpenAI from 'openai';
const ask = (content, stream) => new OpenAI({ apiKey: 'x' }).chat.completions.create({ model: 'm', stream, messages: [{ role: 'user', content }] });
post('/ask', { price: '0.01', body: 'text' }, async ({ body }) => (await ask(body)).choices[0].message.content);
post('/stream', { price: '0.01', body: 'text', upfront: true }, async function* ({ body }) {
  for await (const part of await ask(body, true)) yield part.choices[0].delta.content;
});
test('asks', async () => {
  mockFetch(async (request) => Response.json({ choices: [{ message: { content: 'to ' + (await request.json()).messages[0].content } }] }));
  expect(await (await call('POST /ask', { body: 'hi' })).text()).toBe('to hi');
});
test('streams', async () => {
  const lines = ['a', 'b'].map((content) => 'data: ' + JSON.stringify({ choices: [{ delta: { content } }] }) + '\\n\\n');
  mockFetch(() => new Response(lines.join('') + 'data: [DONE]\\n\\n', { headers: { 'content-type': 'text/event-stream' } }));
  expect(await events(await call('POST /stream', { body: 'hi' }))).toEqual([{ data: 'a' }, { data: 'b' }]);
});
`;
  const result = await evaluate(plugin, `${ASK} await ask('POST /tests'); return sent;`, 'coinslot:test-exports');
  const lines = result.answers[0].body.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines.at(-1), { event: 'end', passed: 2, failed: 0, skipped: 0 }, JSON.stringify(lines));
});

test('a plugin may await at its top level', async () => {
  const plugin = `
import { get } from 'coinslot';
const names = await Promise.resolve(['a', 'b']);
for (const name of names) get('/' + name, { free: true }, () => name);
`;
  const paths = await evaluate(plugin, 'return component.manifest.describe().endpoints.map(({ path }) => path);');
  assert.deepEqual(paths, ['/a', '/b']);
});

test('a mistake is told with its place alone', async () => {
  const mistakes = {
    "get('/a', { cost: '1' }, () => 'x');": /^GET \/a: no option is called cost: write price$/,
    'globalThis.key = crypto.randomUUID();': /^crypto\.randomUUID is not available here: this code runs once/,
    'globalThis.begun = new Date();': /^new Date\(\) without an argument is not available here/,
    'await fetch("https://a.b");': /^fetch is not available here/,
  };
  for (const [line, expected] of Object.entries(mistakes)) {
    await assert.rejects(
      () => evaluate(`import { get } from 'coinslot';\n${line}\n`, ''),
      (error) => {
        assert.match(error.message, expected);
        assert.match(error.stack.split('\nHost:')[0], /^(?:.*\n)?\s*at plugin\.js:2:\d+\s*$/);
        return true;
      },
    );
  }
});

test('encoders, digests, URLs and clones compute in the engine what they compute in Node', async () => {
  const text = 'grüße 漢字 😀 '.repeat(40);
  const result = await evaluate(
    `import { get } from 'coinslot'; get('/x', { free: true }, () => 'x');`,
    `component.manifest.describe();
    const text = ${JSON.stringify(text)};
    const bytes = new TextEncoder().encode(text);
    const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
    const digests = {};
    for (const name of ['SHA-1', 'SHA-256', 'SHA-384', 'SHA-512']) digests[name] = hex(await crypto.subtle.digest(name, bytes));
    const randoms = new Set(Array.from({ length: 100 }, () => Math.random()));
    return {
      digests,
      same: new TextDecoder().decode(bytes) === text,
      cut: new TextDecoder().decode(bytes.subarray(0, 3)),
      url: new URL('../ü?q=a b#c', 'https://MÜLLER.de/a/b').href,
      clone: structuredClone(new Map([[1, { a: [new Date(5)] }]])).get(1).a[0].getTime(),
      randoms: randoms.size,
      id: crypto.randomUUID().length,
      name: new DOMException('m', 'AbortError').name,
    };`,
  );
  for (const [name, digest] of Object.entries(result.digests)) {
    assert.equal(digest, createHash(name.replace('-', '').toLowerCase()).update(text).digest('hex'));
  }
  const { same, cut, url, clone, randoms, id, name } = result;
  assert.deepEqual(
    { same, cut, url, clone, randoms, id, name },
    {
      ...{ same: true, cut: 'gr\ufffd', url: 'https://xn--mller-kva.de/%C3%BC?q=a%20b#c', clone: 5 },
      ...{ randoms: 100, id: 36, name: 'AbortError' },
    },
  );
});
