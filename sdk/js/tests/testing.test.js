// The module `coinslot/test`: calls of endpoints, the world of a test, and the reports of a run.
import assert from 'node:assert/strict';
import { test as nodeTest } from 'node:test';

import { charge, config, get, post, Refusal, store } from 'coinslot';
import {
  afterEach,
  beforeEach,
  call,
  configure,
  describe,
  events,
  expect,
  logged,
  mockFetch,
  price,
  run,
  test,
} from 'coinslot/test';

import { leaveBuild } from '../src/phase.js';
import { incoming, outcome } from './support/host.js';

get('/hello/{name}', { price: '0.001' }, ({ path, receipt }) => `${path.name} ${receipt.payer} ${receipt.amount}`);
post(
  '/shout',
  {
    quoted: '0.01',
    quote: ({ body }) => String(body.text.length / 1000),
    body: { type: 'object', required: ['text'], properties: { text: { type: 'string', minLength: 1 } } },
  },
  ({ body }) => ({ shout: body.text.toUpperCase() }),
);
get('/ticks', { free: true }, async function* () {
  yield { event: 'tick', data: { i: 0 } };
  yield 'text';
});
get('/run', { free: true }, () => get.run());
get('/visits', { free: true }, () => ({
  visits: store.increment('n'),
  keys: store.list(),
  currency: config('currency'),
}));
post('/metered', { upTo: '0.05', body: 'text' }, ({ body }) => {
  if (body !== '') charge(body);
  return 'done';
});
post('/unmetered', { price: '0.05', body: 'text' }, ({ body }) => charge(body));
get('/up', { price: '1' }, async () => (await fetch('https://up.example/x')).text());
get('/oops', { price: '1' }, () => undefined.x);
get(
  '/headers',
  {
    quoted: '1',
    quote: ({ headers }) => headers.get('x-seen') ?? headers.get('x-hidden') ?? '0.5',
    headers: ['x-seen'],
  },
  ({ headers }) => headers.get('x-hidden'),
);

const order = [];
test('calls pay the price', async () => {
  const answer = await call('GET /hello/Ada', { receipt: { payer: '0xabc' } });
  expect(await answer.text()).toBe('Ada 0xabc 0.001');
  expect([answer.status, answer.price, answer.charged]).toEqual([200, '0.001', '0.001']);
  expect(await price('POST /shout', { body: { text: 'abc' } })).toBe('0.003');
});
test('refusals cost nothing', async () => {
  const answer = await call('POST /shout', { body: { text: '' } });
  expect([answer.status, answer.price, answer.charged]).toEqual([400, undefined, '0']);
  const refusal = { error: 'invalid_body', message: '/body/text is empty', pointer: '/body/text', code: 'minLength' };
  expect(await answer.json()).toEqual(refusal);
  await expect(price('POST /shout', { body: {} })).rejects.toBeInstanceOf(Refusal);
  expect((await call('GET /nowhere')).status).toBe(404);
});
test('metered calls are charged what was said', async () => {
  expect((await call('POST /metered', { body: '0.02' })).charged).toBe('0.02');
  expect((await call('POST /metered', { body: '' })).charged).toBe('0');
});
test('a charge is at most what was authorised, and needs a meter', async () => {
  expect((await call('POST /metered', { body: '0.050' })).charged).toBe('0.050');
  for (const [target, body, why] of [
    [
      'POST /metered',
      '0.05000000000000000001',
      /0\.05000000000000000001 is more than the 0\.05 that the caller has authorised/,
    ],
    ['POST /metered', '10', /10 is more than the 0\.05 that the caller has authorised/],
    ['POST /metered', 'a cent', /it is not an amount/],
    ['POST /unmetered', '0.01', /the request is not metered: declare its price with `upTo`/],
  ]) {
    const answer = await call(target, { body });
    expect([answer.status, answer.charged]).toEqual([500, '0']);
    expect(logged()).toMatch(why);
  }
});
test('each test has a world of its own', async () => {
  configure({ currency: 'EUR' });
  await call('GET /visits');
  expect(await (await call('GET /visits')).json()).toEqual({ visits: 2, keys: ['n'], currency: 'EUR' });
});
test('nothing is left of another test', async () => {
  expect(await (await call('GET /visits')).json()).toEqual({ visits: 1, keys: ['n'] });
});
test('values are swapped and updated in one step', async () => {
  const swaps = [];
  get.run = () => {
    swaps.push(store.compareAndSwap('k', undefined, 'a'), store.compareAndSwap('k', undefined, 'b'));
    swaps.push(
      store.compareAndSwap('k', 'a', 'c'),
      store.get('k'),
      store.update('k', (held) => held + '!'),
    );
    swaps.push(
      store.json.update('j', (held = { n: 0 }) => ({ n: held.n + 1 })),
      store.compareAndSwap('k', 'c!', undefined),
    );
    return swaps;
  };
  expect(await (await call('GET /run')).json()).toEqual([true, false, true, 'c', 'c!', { n: 1 }, true]);
});
test('an update that others are always quicker than ends', async () => {
  get.run = () => {
    store.update('k', (held = '') => {
      store.set('k', `${held}x`);
      return 'mine';
    });
  };
  expect((await call('GET /run')).status).toBe(500);
  expect(logged()).toMatch(/store\.update\('k', \.\.\) failed: others have changed it 100 times in between/);
});
test('this one waits', () => new Promise((resolve) => setTimeout(resolve, 300)));
test('fetch is answered by the test', async () => {
  mockFetch((request) => new Response(`from ${request.url}`));
  expect(await (await call('GET /up')).text()).toBe('from https://up.example/x');
});
test('without an answer fetch fails, and the log says why', async () => {
  const answer = await call('GET /up');
  expect([answer.status, answer.charged]).toEqual([500, '0']);
  expect(logged()).toMatch(/a test reaches no network: say what the other side answers with mockFetch/);
});
test('events are read', async () => {
  expect(await events(await call('GET /ticks'))).toEqual([{ event: 'tick', data: { i: 0 } }, { data: 'text' }]);
});
test('a quote sees what the host shows it', async () => {
  const headers = { 'x-seen': '0.1', 'x-hidden': '0.2' };
  const answer = await call('GET /headers', { headers });
  expect([answer.price, await answer.text()]).toEqual(['0.1', '0.2']);
  expect(await price('GET /headers?a=b', { headers: { 'x-hidden': '0.2' }, query: { c: 1 } })).toBe('0.5');
});
test('this one fails', () => {
  expect({ a: 1 }).toEqual({ a: 2 });
});
test.skip('this one is skipped', () => {});
describe('group', () => {
  beforeEach(() => order.push('before'));
  afterEach(() => order.push('after'));
  test.each([
    [1, 'a'],
    [2, 'b'],
  ])('%d is %s', (n, letter) => order.push(`${n}${letter}`));
});

async function reports(options) {
  const list = [];
  for await (const report of run(options)) list.push(report);
  return list;
}

leaveBuild();

nodeTest('a run reports each test, and what failed where', async () => {
  const [start, ...rest] = await reports();
  const end = rest.pop();
  assert.deepEqual(start, { event: 'start', tests: 17 });
  const failed = rest.filter(({ outcome: is }) => is === 'failed');
  const begun = rest.findIndex(({ event, name }) => event === 'begin' && name === 'this one fails');
  assert.equal(rest[begun + 1], failed[0]);
  assert.deepEqual(
    failed.map(({ name }) => name),
    ['this one fails'],
    JSON.stringify(failed),
  );
  assert.equal(failed[0].error.message, 'AssertionError: expected { a: 1 } to equal { a: 2 }');
  assert.match(failed[0].error.frames[0], /^at .*testing\.test\.js:\d+:\d+/);
  assert.match(failed[0].at, /testing\.test\.js:\d+:\d+$/);
  assert.deepEqual(end, { event: 'end', passed: 15, failed: 1, skipped: 1 });
  assert.deepEqual(order, ['before', '1a', 'after', 'before', '2b', 'after']);
  assert.equal(rest.at(-1).name, 'group > 2 is b');
  assert.deepEqual(
    (await reports({ only: 'metered' })).map(({ event }) => event),
    ['start', 'begin', 'test', 'end'],
  );
});

nodeTest('a test that waits for longer than its time has failed', async () => {
  const [, , { outcome: is, error }] = await reports({ only: 'this one waits', timeout: 20 });
  assert.deepEqual([is, error.message], ['failed', 'Error: it did not end within 0.02 seconds']);
  const { handler } = await import('coinslot:test-exports');
  const { text } = await outcome(await handler.handle(incoming('POST /tests?only=this%20one%20waits&timeout=20')));
  assert.match(text, /it did not end within 0\.02 seconds/);
});

nodeTest('a component of tests answers with a report a line', async () => {
  const { handler, manifest, quote } = await import('coinslot:test-exports');
  assert.equal(manifest.describe().endpoints[0].path, '/tests');
  assert.deepEqual(quote.quote().price, { tag: 'free' });
  const { headers, text } = await outcome(await handler.handle(incoming('POST /tests?only=events')));
  assert.equal(headers['content-type'], 'application/x-ndjson');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['start', 'begin', 'test', 'end'],
  );
  assert.equal(lines[2].outcome, 'passed');
});

const FAILING = [
  [() => expect(1).toBe(2), 'expected 1 to be 2'],
  [() => expect(1).not.toBe(1), 'expected 1 not to be 1'],
  [() => expect([1, { a: 2 }]).toEqual([1, { a: 3 }]), 'expected [ 1, { a: 2 } ] to equal [ 1, { a: 3 } ]'],
  [() => expect('abc').toMatch(/x/), "expected 'abc' to match /x/"],
  [() => expect([1]).toContain(2), 'expected [ 1 ] to contain 2'],
  [() => expect(new Map([[1, 2]])).toEqual(new Map([[1, 3]])), 'expected Map(1) { 1 => 2 } to equal Map(1) { 1 => 3 }'],
  [() => expect(() => {}).toThrow(), 'expected [Function (anonymous)] to throw'],
  [
    () =>
      expect(() => {
        throw new Error('a');
      }).toThrow('b'),
    "expected [Function (anonymous)] to throw (it threw 'a') 'b'",
  ],
  [() => expect({ a: { b: 1 } }).toHaveProperty('a.b', 2), "expected { a: { b: 1 } } to have the property 'a.b', 2"],
  [() => expect(0.1 + 0.2).toBeCloseTo(0.4), 'expected 0.30000000000000004 to be close to 0.4'],
  [() => expect({ a: undefined }).toStrictEqual({}), 'expected { a: undefined } to equal strictly {}'],
  [() => expect.fail('so'), 'so'],
];
for (const [check, message] of FAILING) {
  nodeTest(`a failure reads: ${message}`, () => assert.throws(check, { name: 'AssertionError', message }));
}

nodeTest('what holds passes', async () => {
  expect({ a: undefined }).toEqual({});
  expect({ a: 1, b: [1, 2] }).toMatchObject({ b: [1, 2] });
  expect({ a: 'text', n: 3 }).toEqual({ a: expect.stringMatching('^t'), n: expect.any(Number) });
  expect([3, 1, 2]).toEqual(expect.arrayContaining([1, 2]));
  expect(new Set([1])).toEqual(new Set([1]));
  expect(Uint8Array.of(1)).toEqual(Uint8Array.of(1));
  expect(() => {
    throw new TypeError('bad thing');
  }).toThrow(/bad/);
  expect(0.1 + 0.2).toBeCloseTo(0.3);
  await expect(Promise.reject(new Error('no'))).rejects.toThrow('no');
  await expect(Promise.resolve(3)).resolves.toBeGreaterThan(2);
  await assert.rejects(
    () => expect(Promise.resolve(3)).rejects.toThrow(),
    /expected a rejection, and it resolved to 3/,
  );
});
