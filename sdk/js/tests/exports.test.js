// The exports of the component, called as the host calls them: manifest, quote, and handler.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { charge, config, del, get, patch, plugin, post, put, Refusal, store } from 'coinslot';
import * as z from 'zod';

import { host, incoming, lines, outcome } from './support/host.js';

const Doc = z.object({ text: z.string().min(1).max(50), tags: z.array(z.string()).default([]) });
let onLoad = () => {};
plugin({ onLoad: () => onLoad() });

get('/hello/{name}', { price: '0.001', summary: 'Says  hello' }, ({ path }) => `Hello, ${path.name}!\n`);
post(
  '/shout',
  {
    quoted: '0.01',
    quote: ({ body }) => (body.text.length * 1e-3).toFixed(3),
    body: Doc,
    returns: z.object({ shout: z.string() }),
  },
  ({ body, receipt }) => ({ shout: body.text.toUpperCase(), tags: body.tags, by: receipt?.payer }),
);
get(
  '/pages/{id}/{*rest}',
  {
    price: '0.001',
    path: z.object({ id: z.int(), rest: z.string() }),
    query: z.object({ lang: z.enum(['en', 'de']).default('en'), n: z.array(z.int()).optional() }),
  },
  ({ path, query }) => ({ ...path, ...query }),
);
post('/print', { quoted: '1', quote: ({ body }) => (body.length * 0.001).toFixed(3), body: 'text' }, () => 'printed');
get('/pass', { price: '0.002', pass: { seconds: 3600, requests: 100 } }, () => 'mine');
get('/ticks', { price: '0.002', upfront: true }, async function* () {
  yield { event: 'tick', data: { i: 0 }, id: 1 };
  yield 'two\nlines';
  yield 3;
});
get('/lines', { free: true, mimeType: 'application/x-ndjson' }, function* () {
  yield { a: 1 };
  yield [2];
});
get('/broken', { free: true }, async function* () {
  yield 'one';
  throw new Error('mid-way');
});
get('/early', { free: true }, async function* () {
  throw new Refusal(404, 'no_ticks', 'there are none');
  yield 1;
});
get('/bytes', { free: true, mimeType: 'image/png' }, () => Uint8Array.of(1, 2, 3));
get('/stream', { free: true }, () => new Blob(['streamed']).stream());
get('/blob', { free: true }, () => new Blob(['b'], { type: 'text/css' }));
get('/null', { free: true }, () => null);
get('/nothing', { free: true }, () => {});
get('/number', { free: true }, () => 42);
get(
  '/custom',
  { free: true },
  () => new Response('made', { status: 201, headers: { 'x-a': 'b', 'set-cookie': 'a=1' } }),
);
get('/redirect', { free: true }, ({ request }) => Response.redirect(new URL('/hello/x', request.url)));
get('/oops', { price: '0.001' }, function handler() {
  const nothing = undefined;
  return nothing.name;
});
get('/thrown', { free: true }, () => {
  throw 'text';
});
get('/hop', { free: true }, () => new Response('x', { headers: { connection: 'close' } }));
get('/refused', { free: true }, () => {
  throw new Refusal(503, 'too_busy', 'try again later');
});
put('/raw', { price: '0.01', body: 'bytes' }, ({ body }) => String(body.length));
patch('/text', { price: '0.01', body: 'text' }, ({ body }) => body);
post('/upload', { free: true }, async ({ request }) => {
  let bytes = 0;
  for await (const chunk of request.body) bytes += chunk.length;
  return { bytes, type: request.headers.get('content-type'), url: request.url };
});
post(
  '/form',
  { free: true, body: z.object({ n: z.int(), file: z.file().optional(), list: z.array(z.string()) }) },
  async ({ body }) => ({ n: body.n, list: body.list, file: await body.file?.text() }),
);
post('/metered', { upTo: '0.05' }, () => {
  charge('0.02');
  return 'done';
});
del(
  '/things/{id}',
  {
    free: true,
    check: ({ path }) => {
      if (path.id === '0') throw new Refusal(404, 'no_such_thing', 'ids start at 1');
    },
  },
  ({ path }) => path.id,
);
get('/config', { free: true }, () => ({ one: config('one'), all: config() }));
get('/store', { free: true }, () => store.get('x') ?? 'none');
get(
  '/negotiated',
  {
    quoted: '1',
    quote: ({ headers }) => (headers.get('accept-language') === 'de' ? 'free' : '0.5'),
    headers: ['Accept-Language'],
  },
  () => 'x',
);
const Nested = z.object({
  get in() {
    return Nested.optional();
  },
});
post('/nested', { quoted: '1', quote: () => '0.5', body: Nested }, ({ body }) => body);
post('/parsed', { free: true }, async ({ request }) => await request.json());
get(
  '/echoed',
  {
    quoted: '1',
    headers: ['accept-language'],
    quote: ({ headers }) => {
      const codes = [...headers.get('accept-language')].map((c) => c.charCodeAt(0).toString(16));
      throw new Refusal(400, 'echoed', codes.join(' '));
    },
  },
  () => 'x',
);
get('/bad-quote', { quoted: '1', quote: () => 'much' }, () => 'x');
get('/number-quote', { quoted: '1', quote: () => 0.5 }, () => 'x');
get('/late-quote', { quoted: '1', quote: async () => '1' }, () => 'x');
get('/greedy-quote', { quoted: '1', quote: () => fetch('https://a.b') }, () => 'x');

const { manifest, quote, handler } = await import('coinslot:exports');

const described = () => manifest.describe();
const endpoint = (method, path) => described().endpoints.find((one) => one.method === method && one.path === path);

async function ask(target, options) {
  lines.length = 0;
  return outcome(await handler.handle(incoming(target, options)));
}

const json = (value) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });

function price(method, route, { params = [], query = null, headers = [], body = new Uint8Array() } = {}) {
  lines.length = 0;
  try {
    return quote.quote({ method, route, params, query, headers, body, extensions: [] });
  } catch (error) {
    return error.payload ?? error;
  }
}

test('the manifest has what was declared', () => {
  const info = described();
  assert.deepEqual([info.name, info.version], ['quote-of-day', '1.2.3']);
  const hello = endpoint('GET', '/hello/{name}');
  assert.deepEqual(hello.price, { tag: 'exact', val: '0.001' });
  assert.deepEqual(
    [hello.summary, hello.mimeType, hello.outputSchema],
    ['Says hello', 'text/plain; charset=utf-8', null],
  );
  assert.deepEqual(JSON.parse(hello.inputSchema).properties.path, {
    type: 'object',
    properties: { name: { type: 'string' } },
    required: ['name'],
  });
  const shout = endpoint('POST', '/shout');
  assert.deepEqual(shout.price, { tag: 'quoted', val: '0.01' });
  assert.equal(shout.mimeType, 'application/json');
  assert.deepEqual(JSON.parse(shout.inputSchema).properties.body.required, ['text']);
  assert.deepEqual(JSON.parse(shout.outputSchema).required, ['shout']);
  assert.deepEqual(
    [endpoint('GET', '/ticks').mimeType, endpoint('GET', '/ticks').extensions],
    ['text/event-stream', [['payment-flow', 'upfront']]],
  );
  assert.deepEqual(endpoint('GET', '/pass').extensions, [['pass', 'seconds=3600; requests=100']]);
  assert.deepEqual(endpoint('POST', '/metered').price, { tag: 'up-to', val: '0.05' });
  assert.deepEqual(endpoint('GET', '/negotiated').quoteHeaders, ['accept-language']);
  assert.deepEqual(endpoint('GET', '/null').price, { tag: 'free' });
  assert.throws(() => get('/late', { free: true }, () => ''), /declare endpoints at the top level/);
});

test('onLoad can refuse to be loaded', () => {
  onLoad = () => {
    throw new Error('set upstream in [plugin.NAME.config]');
  };
  assert.throws(described, /set upstream/);
  onLoad = () => {};
});

test('a quote of zero is free', () => {
  assert.deepEqual(price('POST', '/print', { body: [] }).price, { tag: 'free' });
  assert.deepEqual(price('POST', '/print', { body: [1] }).price, { tag: 'amount', val: '0.001' });
});

test('a parameter that the endpoint reads is percent-encoded, and others need not be', () => {
  const ask = (query) =>
    price('GET', '/pages/{id}/{*rest}', {
      params: [
        ['id', '1'],
        ['rest', 'x'],
      ],
      query,
    });
  for (const query of ['x=100%', '%=1&lang=de', 'x=%ff&n=1', '%zz']) {
    assert.deepEqual(ask(query).price, { tag: 'amount', val: '0.001' }, query);
  }
  for (const [query, name] of [
    ['lang=%', 'lang'],
    ['n=1&n=%ff', 'n'],
    ['n=%4&x=1', 'n'],
  ]) {
    const { status, code, extensions } = ask(query);
    assert.deepEqual([status, code], [400, 'invalid_query'], query);
    assert.deepEqual(Object.fromEntries(extensions), { pointer: `/query/${name}`, code: 'encoding' }, query);
  }
});

test('a quote is the declared price, the price of the input, or a refusal', () => {
  assert.deepEqual(price('GET', '/hello/{name}', { params: [['name', 'x']] }), {
    price: { tag: 'amount', val: '0.001' },
    extensions: [],
  });
  const body = new TextEncoder().encode('{"text":"abcd"}');
  assert.deepEqual(price('POST', '/shout', { body }).price, { tag: 'amount', val: '0.004' });
  assert.deepEqual(price('POST', '/shout', { body: [...body] }).price, { tag: 'amount', val: '0.004' });
  const refusal = price('POST', '/shout', { body: new TextEncoder().encode('{"text":""}') });
  assert.deepEqual([refusal.status, refusal.code], [400, 'invalid_body']);
  assert.deepEqual(Object.fromEntries(refusal.extensions), { pointer: '/body/text', code: 'minLength' });
  assert.match(refusal.message, /^\/body\/text: Too small/);
  assert.match(price('POST', '/shout').message, /the body is empty: send JSON/);
  assert.match(price('POST', '/shout', { body: Uint8Array.of(123) }).message, /the body is not JSON/);
  assert.match(price('POST', '/shout', { body: Uint8Array.of(255) }).message, /the body is not UTF-8/);
  assert.equal(price('DELETE', '/things/{id}', { params: [['id', '0']] }).code, 'no_such_thing');
  assert.deepEqual(price('DELETE', '/things/{id}', { params: [['id', '1']] }).price, { tag: 'free' });
  const german = [['accept-language', new TextEncoder().encode('de')]];
  assert.deepEqual(price('GET', '/negotiated', { headers: german }).price, { tag: 'free' });
  assert.deepEqual(price('GET', '/negotiated').price, { tag: 'amount', val: '0.5' });
  assert.match(
    price('GET', '/pages/{id}/{*rest}', {
      params: [
        ['id', 'x'],
        ['rest', 'y'],
      ],
    }).message,
    /^\/path\/id: Invalid input: expected/,
  );
  assert.match(
    price('GET', '/pages/{id}/{*rest}', {
      params: [
        ['id', '1'],
        ['rest', 'y'],
      ],
      query: 'lang=fr',
    }).message,
    /^\/query\/lang/,
  );
});

test('a quote that fails is reported, and is no refusal', () => {
  assert.match(price('GET', '/bad-quote').message, /returned "much": return an amount such as '0\.02', or 'free'/);
  assert.match(lines[0], /^the quote of GET \/bad-quote failed: TypeError: quote of GET \/bad-quote returned/);
  assert.match(
    price('GET', '/number-quote').message,
    /returned the number 0\.5: return text, as \(0\.5\)\.toFixed\(6\)/,
  );
  assert.match(price('GET', '/late-quote').message, /is asynchronous: the host asks before the payment/);
  assert.match(price('GET', '/greedy-quote').message, /asynchronous/);
});

test('texts, values, bytes and responses are answers', async () => {
  assert.deepEqual(await ask('GET /hello/Ada%20L'), {
    ...{ status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, text: 'Hello, Ada L!\n', parts: 1 },
    ...{ bytes: Buffer.from('Hello, Ada L!\n'), ending: { tag: 'ok', val: null } },
  });
  const shout = await ask('POST /shout', json({ text: 'hey' }));
  assert.deepEqual(
    [shout.headers['content-type'], JSON.parse(shout.text)],
    ['application/json', { shout: 'HEY', tags: [] }],
  );
  assert.deepEqual(JSON.parse((await ask('GET /pages/7/a/b%2Fc?lang=de&n=1&n=2')).text), {
    id: 7,
    rest: 'a/b/c',
    lang: 'de',
    n: [1, 2],
  });
  const png = await ask('GET /bytes');
  assert.deepEqual([png.headers['content-type'], [...png.bytes]], ['image/png', [1, 2, 3]]);
  const blob = await ask('GET /blob');
  assert.deepEqual([blob.headers['content-type'], blob.text], ['text/css', 'b']);
  const stream = await ask('GET /stream');
  assert.deepEqual([stream.headers['content-type'], stream.text], ['application/octet-stream', 'streamed']);
  assert.deepEqual(
    [(await ask('GET /number')).text, (await ask('GET /number')).headers['content-type']],
    ['42', 'application/json'],
  );
  const custom = await ask('GET /custom');
  assert.deepEqual(
    [custom.status, custom.text, custom.headers['x-a'], custom.headers['set-cookie']],
    [201, 'made', 'b', 'a=1'],
  );
  assert.equal((await ask('GET /redirect')).headers.location, 'https://pay.example/hello/x');
  const head = await ask('HEAD /hello/x');
  assert.deepEqual([head.status, head.text], [200, '']);
});

test('generators are events, or lines', async () => {
  const ticks = await ask('GET /ticks');
  assert.equal(ticks.headers['content-type'], 'text/event-stream');
  assert.equal(ticks.text, 'event: tick\nid: 1\ndata: {"i":0}\n\ndata: two\ndata: lines\n\ndata: 3\n\n');
  assert.equal(ticks.parts, 3);
  assert.equal((await ask('GET /lines')).text, '{"a":1}\n[2]\n');
  const early = await ask('GET /early');
  assert.deepEqual([early.status, JSON.parse(early.text)], [404, { error: 'no_ticks', message: 'there are none' }]);
});

test('a generator that fails cuts its answer off, and is reported', async () => {
  const broken = await ask('GET /broken');
  assert.deepEqual([broken.status, broken.text], [200, 'data: one\n\n']);
  assert.deepEqual(broken.ending, { tag: 'err', val: { tag: 'internal-error', val: 'mid-way' } });
  assert.match(lines[0], /^GET \/broken, after its first bytes, failed: Error: mid-way at .*exports\.test\.js:\d+:\d+/);
});

test('an uncaught error is reported with its place, and answered 500', async () => {
  const oops = await ask('GET /oops');
  assert.deepEqual([oops.status, JSON.parse(oops.text).error], [500, 'plugin_failed']);
  assert.equal(oops.headers['x-coinslot-failed'], '1', 'the host counts it as a failure of the plugin');
  assert.match(
    lines[0],
    /^GET \/oops failed: TypeError: Cannot read properties of undefined .* at (Object\.)?handler \(.*exports\.test\.js:\d+:\d+\)/,
  );
  assert.doesNotMatch(lines[0], /serve\.js|node:/);
  assert.equal((await ask('GET /hop')).status, 500);
  assert.match(
    lines[0],
    /^GET \/hop failed: TypeError: the host refuses one of the header fields connection, content-type: forbidden/,
  );
  assert.equal((await ask('GET /thrown')).status, 500);
  assert.match(lines[0], /^GET \/thrown failed: threw "text"/);
  assert.equal((await ask('GET /nothing')).status, 500);
  assert.match(lines[0], /the handler returned nothing: return text, a value, bytes or a Response, or null for 404/);
});

test('refusals have one shape', async () => {
  const body = async (target, options) => {
    const { status, headers, text } = await ask(target, options);
    assert.equal(headers['content-type'], 'application/json');
    return [status, JSON.parse(text)];
  };
  assert.deepEqual(await body('GET /null'), [404, { error: 'not_found', message: 'there is nothing here' }]);
  assert.deepEqual(await body('GET /nowhere'), [
    404,
    { error: 'not_found', message: 'this plugin serves no GET /nowhere' },
  ]);
  assert.deepEqual(await body('GET /refused'), [503, { error: 'too_busy', message: 'try again later' }]);
  assert.deepEqual(await body('POST /ticks'), [
    405,
    { error: 'method_not_allowed', message: 'this path is served with other methods: GET' },
  ]);
  assert.equal((await ask('POST /ticks')).headers.allow, 'GET');
  assert.deepEqual(await body('GET /hello/%zz'), [
    400,
    {
      error: 'invalid_path',
      message: '/path/name is not percent-encoded UTF-8',
      pointer: '/path/name',
      code: 'encoding',
    },
  ]);
  const [status, { error, pointer, code, message }] = await body('POST /shout', json({ text: 7 }));
  assert.deepEqual([status, error, pointer, code], [400, 'invalid_body', '/body/text', 'type']);
  assert.match(message, /^\/body\/text: Invalid input: expected string/);
  assert.equal((await body('DELETE /things/0'))[1].error, 'no_such_thing');
  assert.equal(lines.length, 0);
});

test('bodies come as bytes, as text, as a stream, or as a form', async () => {
  assert.equal((await ask('PUT /raw', { body: [Uint8Array.of(1, 2), Uint8Array.of(3)] })).text, '3');
  assert.equal((await ask('PATCH /text', { body: 'grüße' })).text, 'grüße');
  assert.equal((await ask('PATCH /text', { body: Uint8Array.of(255) })).status, 400);
  const upload = await ask('POST /upload?a=b', { body: ['x'.repeat(70_000), 'y'], headers: { 'content-type': 'a/b' } });
  assert.deepEqual(JSON.parse(upload.text), { bytes: 70_001, type: 'a/b', url: 'https://pay.example/upload?a=b' });
  const coded = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'n=4&list=a' };
  assert.deepEqual(JSON.parse((await ask('POST /form', coded)).text), { n: 4, list: ['a'] });
  const mislabelled = { ...coded, body: '{"n":4,"list":["a"]}' };
  assert.deepEqual(JSON.parse((await ask('POST /form', mislabelled)).text), { n: 4, list: ['a'] });
  const part = (head, body) => `--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n${body}\r\n`;
  const multipart =
    part('name="n"', '5') + part('name="list"', 'x') + part('name="file"; filename="f.txt"', 'content') + '--b--\r\n';
  const sent = { headers: { 'content-type': 'multipart/form-data; boundary=b' }, body: multipart };
  assert.deepEqual(JSON.parse((await ask('POST /form', sent)).text), { n: 5, list: ['x'], file: 'content' });
});

test('a body that is cut off is no body', async () => {
  const request = incoming('PUT /raw', { body: 'half' });
  const { trailers } = request;
  request.trailers = { read: async () => (await trailers.read(), { tag: 'err', val: { tag: 'HTTP-protocol-error' } }) };
  const answer = await outcome(await handler.handle(request));
  assert.equal(answer.status, 400);
  assert.equal(JSON.parse(answer.text).error, 'incomplete_body');
});

test('receipt, charge, config and store reach the host', async () => {
  const real = { ...host };
  const charges = [];
  Object.assign(host, {
    receipt: () => ({ payer: '0xabc', amount: '0.01' }),
    charge: (amount) => charges.push(amount),
    configValue: (key) => (key === 'one' ? '1' : null),
    configValues: () => [['one', '1']],
  });
  assert.equal(JSON.parse((await ask('POST /shout', json({ text: 'a' }))).text).by, '0xabc');
  assert.equal((await ask('POST /metered')).text, 'done');
  assert.deepEqual(charges, ['0.02']);
  assert.deepEqual(JSON.parse((await ask('GET /config')).text), { one: '1', all: { one: '1' } });
  host.charge = () => {
    throw Object.assign(new Error('x'), { payload: 'above the authorised maximum' });
  };
  await ask('POST /metered');
  assert.match(lines[0], /charge\('0\.02'\) was not taken: above the authorised maximum/);
  await ask('GET /store');
  assert.match(
    lines[0],
    /store\.get\('x'\) failed: the operator has not granted this plugin a key-value store: \[plugin\.quote-of-day\] keyvalue = true/,
  );
  Object.assign(host, real);
});

// A parser in a component runs on a small stack, and what uses it up ends the instance: nothing could catch it.
test('JSON that nests deeply is refused before it is parsed', async () => {
  const refusal = {
    status: 400,
    code: 'invalid_body',
    extensions: [
      ['pointer', '/body'],
      ['code', 'json'],
    ],
  };
  for (const body of ['['.repeat(5000), `{"a":"]]","in":${'{"in":'.repeat(127)}1${'}'.repeat(128)}`]) {
    const { message, ...rest } = price('POST', '/nested', { body: new TextEncoder().encode(body) });
    assert.deepEqual(rest, refusal, body.slice(0, 20));
    assert.match(message, /nests deeper than 127 levels/);
  }
  const deepest = `${'{"in":'.repeat(126)}{}${'}'.repeat(126)}`;
  assert.equal((await ask('POST /nested', { body: deepest })).text, deepest);
  const brackets = JSON.stringify({ in: { text: '[{"\\'.repeat(999) } });
  assert.equal((await ask('POST /nested', { body: brackets })).status, 200, 'brackets of a string');
  assert.equal((await ask('POST /parsed', { body: '['.repeat(5000) })).status, 500);
  assert.match(lines.join(''), /nests deeper than 512 levels/);
  assert.throws(() => JSON.parse(`["\\\\",${'['.repeat(5000)}`), RangeError);
  assert.deepEqual(
    JSON.parse('[1,{"a":"\\\\"}]', (key, value) => (value === 1 ? 2 : value)),
    [2, { a: '\\' }],
  );
});

test('half of a surrogate pair is no text', async () => {
  const sent = (text) => ask('POST /nested', { body: `{"${text}":1}` });
  for (const text of ['\\ud800', 'a\\uDFFF', '\\ude00\\ud83d', '\\\\\\ud800x']) {
    const { status, text: answer } = await sent(text);
    assert.deepEqual([status, JSON.parse(answer).code], [400, 'json'], text);
  }
  for (const text of ['\\ud83d\\ude00', '\\\\ud800', '\\u00e9']) assert.equal((await sent(text)).status, 200, text);
  assert.equal(new Refusal(400, 'odd', 'a \ud800').message, 'a \ufffd');
});

// The handler has always read header fields so. The quote of one request could differ from its answer.
test('a quote reads the bytes of header fields as the handler does', () => {
  const header = (...bytes) => ({ headers: [['accept-language', Uint8Array.from(bytes)]] });
  assert.deepEqual(price('GET', '/negotiated', header(0xff, 0xe4, 0xb8, 0xad)).price, { tag: 'amount', val: '0.5' });
  assert.equal(price('GET', '/echoed', header(0xc3, 0xa9)).message, 'c3 a9');
});
