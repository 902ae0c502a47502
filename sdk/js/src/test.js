// Exports the module `coinslot/test`, for tests of a plugin in the engine that serves it. `call` runs routing,
// validation, quote and handler as the host does, with a payment, a configuration and a key-value store that the test
// chooses.

import './coinslot.js';

import { host } from './host.js';
import { route } from './input.js';
import { Refusal } from './refusal.js';
import { refusalResponse } from './answer.js';
import { price as priceOf, report, serve } from './serve.js';
import { authorFrames, callSite } from './stack.js';
import { enter, simulated } from './test-host.js';
import { Request } from './web/body.js';
import { Headers } from './web/headers.js';
import { URLSearchParams } from './web/url.js';

export { expect } from './expect.js';

const tests = [];
const groups = [];

function add(mode, name, run) {
  if (typeof name !== 'string' || typeof run !== 'function') {
    throw new TypeError("a test has a name and a function: test('answers', async () => { .. })");
  }
  const path = groups.map((group) => group.name);
  const hooks = groups.flatMap((group) => group.hooks);
  tests.push({ name: [...path, name].join(' > '), run, mode, hooks: () => [...rootHooks, ...hooks], at: callSite() });
}

const rootHooks = [];
const hook = (when) => (run) => {
  (groups.length === 0 ? rootHooks : groups.at(-1).hooks).push({ when, run });
};

export const beforeEach = hook('before');
export const afterEach = hook('after');

export const test = (name, run) => add('run', name, run);
test.only = (name, run) => add('only', name, run);
test.skip = (name, run) => add('skip', name, run);
test.each = (rows) => (name, run) => {
  for (const row of rows) {
    const values = [row].flat();
    let at = 0;
    const title = name.replace(/%[sdijfo]/g, () => {
      const value = values[at++];
      return typeof value === 'string' ? value : JSON.stringify(value);
    });
    test(title, () => run(...values));
  }
};
export const it = test;

export function describe(name, declare) {
  groups.push({ name, hooks: [] });
  try {
    declare();
  } finally {
    groups.pop();
  }
}

// Sets what `config` reads in this test: configure({ currency: 'EUR' }), or configure('currency', 'EUR').
export function configure(key, value) {
  Object.assign(simulated.config, typeof key === 'object' ? key : { [key]: String(value) });
}

// Answers `fetch` in this test.
export function mockFetch(answer) {
  simulated.fetch = answer;
}

// What the plugin has logged in this test.
export const logged = () => simulated.log;

const RECEIPT = {
  payer: '0x00000000000000000000000000000000000a11ce',
  asset: '0x0000000000000000000000000000000000005dc0',
  network: 'eip155:31337',
  paymentId: 'test-payment',
  extensions: [],
};

function bodyOf(body, headers) {
  if (body === undefined || body === null) return undefined;
  const isPlain =
    Array.isArray(body) || Object.getPrototypeOf(body) === Object.prototype || Object.getPrototypeOf(body) === null;
  if (typeof body !== 'object' || !isPlain) return body;
  if (!headers.has('content-type')) headers.set('content-type', 'application/json');
  return JSON.stringify(body);
}

// The request that a call means: 'POST /quotes/pick?lang=en', with `query`, `headers` and `body`.
async function requestOf(target, { query, headers, body } = {}) {
  const [, method, path, search = ''] = /^([A-Z]+) (\/[^?]*)(?:\?(.*))?$/.exec(target) ?? [];
  if (!method) throw new TypeError(`call('${target}'): write a method and a path: call('GET /quotes?lang=en')`);
  const given = new Headers(headers);
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, String(one)]),
  );
  const text = [search, new URLSearchParams(pairs).toString()].filter(Boolean).join('&');
  const init = { method, headers: given, body: bodyOf(body, given) };
  const request = new Request(`http://plugin.test${path}${text ? `?${text}` : ''}`, init);
  const bytes = await request.clone().bytes();
  return { method, path, query: text === '' ? null : text, headers: [...request.headers], url: request.url, bytes };
}

function seenByQuote(endpoint, headers) {
  return new Headers(headers.filter(([name]) => name === 'content-type' || endpoint.headers.includes(name)));
}

function quoted({ method, path, query, headers, bytes }) {
  const { endpoint, params } = route(method, path);
  const found = priceOf(endpoint, { params, query, headers: seenByQuote(endpoint, headers), bytes });
  return { endpoint, price: found.tag === 'free' ? 'free' : found.val };
}

// The price of a request: '0.002' or 'free'. Throws the Refusal of a request that is refused before it is paid.
export async function price(target, options) {
  return quoted(await requestOf(target, options)).price;
}

// Calls an endpoint as a paying client does. The answer is a web Response, with `price`, and `charged`: what the caller
// paid in the end, '0' if nothing. Options: query, headers, body, receipt, config.
export async function call(target, options = {}) {
  const raw = await requestOf(target, options);
  if (options.config) configure(options.config);
  let found;
  try {
    found = quoted(raw);
  } catch (error) {
    if (!(error instanceof Refusal)) report(`the quote of ${target}`, error);
    const refusal = error instanceof Refusal ? error : new Refusal(502, 'plugin_failed', 'the quote failed');
    return Object.assign(refusalResponse(refusal), { price: undefined, charged: '0' });
  }
  const isFree = found.price === 'free';
  const { price: declared } = found.endpoint;
  simulated.charged = undefined;
  simulated.most = declared.tag === 'up-to' ? declared.val : undefined;
  simulated.receipt = isFree ? undefined : { ...RECEIPT, amount: found.price, ...options.receipt };
  const { response } = await serve({
    ...raw,
    receipt: () => simulated.receipt,
    bytes: async () => raw.bytes,
    request: (bytes) => {
      const body = /^(GET|HEAD)$/.test(raw.method) ? undefined : (bytes ?? raw.bytes);
      return new Request(raw.url, { method: raw.method, headers: raw.headers, body });
    },
  });
  simulated.receipt = undefined;
  const due = declared.tag === 'up-to' ? (simulated.charged ?? '0') : isFree ? '0' : found.price;
  return Object.assign(response, { price: found.price, charged: response.status < 400 ? due : '0' });
}

// The server-sent events of an answer, in their order: [{ event, data, id }]. Data that is JSON is read.
export async function events(response) {
  const text = await response.text();
  const read = (data) => {
    try {
      return JSON.parse(data);
    } catch {
      return data;
    }
  };
  return text
    .split('\n\n')
    .filter((block) => /^(data|event|id):/m.test(block))
    .map((block) => {
      const all = (name) => [...block.matchAll(new RegExp(`^${name}: ?(.*)$`, 'gm'))].map((found) => found[1]);
      const [event] = all('event');
      const [id] = all('id');
      return { ...(event && { event }), data: read(all('data').join('\n')), ...(id && { id }) };
    });
}

async function attempt({ run, hooks }, timeout) {
  const leave = enter();
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it did not end within ${timeout / 1000} seconds`)), timeout);
    });
    for (const { when, run: before } of hooks()) if (when === 'before') await before();
    try {
      await Promise.race([run(), late]);
    } finally {
      for (const { when, run: after } of hooks()) if (when === 'after') await after();
    }
  } finally {
    clearTimeout(timer);
    leave();
  }
}

// Runs the tests whose name has `only`, one after the other, and yields a report for each. A test that waits for more
// than `timeout` milliseconds has failed, and those after it run.
export async function* run({ only = '', timeout = 30_000 } = {}) {
  const isAlone = tests.some(({ mode }) => mode === 'only');
  const chosen = tests.filter(({ name }) => name.includes(only));
  yield { event: 'start', tests: chosen.length };
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const one of chosen) {
    if (one.mode === 'skip' || (isAlone && one.mode !== 'only')) {
      counts.skipped++;
      yield { event: 'test', name: one.name, outcome: 'skipped', at: one.at };
      continue;
    }
    // The reader of the reports can say which test never ended. The report leaves the engine while this one waits: a test
    // that computes without end would keep it.
    yield { event: 'begin', name: one.name, at: one.at };
    await new Promise((resolve) => setTimeout(resolve, 0));
    const began = host.nowNanoseconds();
    let error;
    try {
      await attempt(one, timeout);
      counts.passed++;
    } catch (thrown) {
      counts.failed++;
      error = thrown;
    }
    const milliseconds = Math.round((host.nowNanoseconds() - began) / 1e4) / 100;
    yield {
      event: 'test',
      name: one.name,
      outcome: error === undefined ? 'passed' : 'failed',
      milliseconds,
      at: one.at,
      ...failure(error),
    };
  }
  yield { event: 'end', ...counts };
}

function failure(error) {
  if (error === undefined) return undefined;
  return { error: { message: messageOf(error), frames: authorFrames(error) } };
}

const messageOf = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`);
