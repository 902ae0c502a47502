// fetch over the host's client: redirects as browsers follow them, signals, bodies, and errors that say what to do.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inQuote, leaveBuild } from '../src/phase.js';
import { Request } from '../src/web/body.js';
import { AbortController, AbortSignal } from '../src/web/events.js';
import { fetch } from '../src/web/fetch.js';
import { ReadableStream } from '../src/web/streams.js';
import { host, upstream } from './support/host.js';

leaveBuild();

test('a request reaches the host with its parts, and an answer comes back', async () => {
  const seen = upstream(() => ({
    status: 201,
    headers: { 'x-a': 'ü', 'content-type': 'application/json' },
    body: ['{"a"', ':1}'],
  }));
  const response = await fetch('https://a.b:8443/p/q?r=s#t', { method: 'post', headers: { B: 'c' }, body: 'grüße' });
  assert.deepEqual([response.status, response.ok, response.headers.get('x-a')], [201, true, 'ü']);
  assert.deepEqual([response.url, response.redirected, response.type], ['https://a.b:8443/p/q?r=s#t', false, 'basic']);
  assert.deepEqual(await response.json(), { a: 1 });
  assert.deepEqual(seen[0], {
    ...{ method: 'POST', url: 'https://a.b:8443/p/q?r=s', body: 'grüße', options: null },
    headers: { b: 'c', 'content-type': 'text/plain;charset=UTF-8' },
  });
  await fetch(new Request('http://a.b', { method: 'PURGE' }));
  assert.deepEqual([seen[1].method, seen[1].url], ['PURGE', 'http://a.b/']);
});

test('a body can be a stream, both ways', async () => {
  const seen = upstream(({ body }) => ({ body: [...body] }));
  const body = ReadableStream.from(['a', 'b'].map((text) => new TextEncoder().encode(text)));
  const response = await fetch('https://a.b', { method: 'PUT', body, duplex: 'half' });
  const parts = [];
  for await (const part of response.body) parts.push(String.fromCharCode(...part));
  assert.deepEqual([seen[0].body, parts], ['ab', ['a', 'b']]);
});

const REDIRECTS = [
  [301, 'POST', 'GET', ''],
  [302, 'POST', 'GET', ''],
  [303, 'PUT', 'GET', ''],
  [307, 'POST', 'POST', 'body'],
  [308, 'PUT', 'PUT', 'body'],
  [302, 'PUT', 'PUT', 'body'],
  [303, 'HEAD', 'HEAD', ''],
];
for (const [status, method, next, body] of REDIRECTS) {
  test(`a ${status} of ${method} is followed by ${next}`, async () => {
    const seen = upstream(({ url }) =>
      url.endsWith('/to') ? { body: 'end' } : { status, headers: { location: '/to' } },
    );
    const init = { method, headers: { authorization: 'x', 'content-type': 'a/b' } };
    const response = await fetch('https://a.b/from', method === 'HEAD' ? init : { ...init, body: 'body' });
    assert.deepEqual([seen[1].method, seen[1].url, seen[1].body], [next, 'https://a.b/to', body]);
    assert.deepEqual([response.redirected, response.url], [true, 'https://a.b/to']);
    assert.equal(seen[1].headers.authorization, 'x');
    assert.equal('content-type' in seen[1].headers, body !== '' || next === 'HEAD');
  });
}

test('secrets stay with their origin', async () => {
  const seen = upstream(({ url }) =>
    url.includes('c.d') ? {} : { status: 302, headers: { location: 'https://c.d/#x' } },
  );
  await fetch('https://a.b', { headers: { authorization: 'x', cookie: 'y', accept: 'z' } });
  assert.deepEqual(seen[1].headers, { accept: 'z' });
});

test('redirects have an end, and can be refused or seen', async () => {
  upstream(() => ({ status: 302, headers: { location: '/again' } }));
  await assert.rejects(
    () => fetch('https://a.b'),
    /fetch GET https:\/\/a\.b\/again failed: it redirects more than 20 times/,
  );
  await assert.rejects(
    () => fetch('https://a.b', { redirect: 'error' }),
    /it redirects to \/again, and redirect is 'error'/,
  );
  assert.equal((await fetch('https://a.b', { redirect: 'manual' })).status, 302);
  upstream(() => ({ status: 307, headers: { location: '/again' } }));
  const body = ReadableStream.from([Uint8Array.of(1)]);
  await assert.rejects(
    () => fetch('https://a.b', { method: 'POST', body }),
    /a body that is a stream cannot be sent twice/,
  );
  upstream(() => ({ status: 302, headers: { location: 'ftp://x' } }));
  await assert.rejects(() => fetch('https://a.b'), /it redirects to ftp:\/\/x\/, which is not HTTP/);
});

test('an error of the host says what to do', async () => {
  const fail = (tag, val = null) => {
    host.send = async () => {
      throw Object.assign(new Error('x'), { payload: { tag, val } });
    };
  };
  fail('HTTP-request-denied');
  await assert.rejects(() => fetch('https://a.b/c'), {
    name: 'TypeError',
    message:
      /^fetch GET https:\/\/a\.b\/c failed: HTTP request denied: the operator has not allowed this origin: \[plugin\.quote-of-day\] http = \["https:\/\/a\.b"\]$/,
  });
  fail('destination-IP-prohibited');
  await assert.rejects(
    () => fetch('http://a.b:81/c'),
    /: \[plugin\.quote-of-day\] http = \[\{ origin = "http:\/\/a\.b:81", private = true \}\]$/,
  );
  fail('connection-refused');
  await assert.rejects(() => fetch('https://a.b'), /failed: connection refused$/);
  fail('internal-error', 'odd');
  await assert.rejects(() => fetch('https://a.b'), /failed: internal error \(odd\)$/);
  await assert.rejects(() => fetch('ftp://a.b'), /only http and https can be fetched/);
  await assert.rejects(() => fetch('/relative'), /Invalid URL/);
  await assert.rejects(
    inQuote(() => fetch('https://a.b')),
    /fetch is not available in a quote or check/,
  );
});

test('an answer that is cut off fails while it is read', async () => {
  upstream(() => ({ body: 'half', ending: { tag: 'err', val: { tag: 'connection-terminated' } } }));
  const response = await fetch('https://a.b');
  await assert.rejects(() => response.text(), /the body was cut off: connection terminated/);
});

test('a signal ends a request, before it and during it', async () => {
  host.send = () => new Promise(() => {});
  await assert.rejects(() => fetch('https://a.b', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const waiting = fetch('https://a.b', { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(() => fetch('https://a.b', { signal: AbortSignal.timeout(3) }), { name: 'TimeoutError' });
  const seen = upstream(() => ({}));
  await fetch('https://a.b', { signal: AbortSignal.timeout(1_000) });
  assert.deepEqual({ ...seen[0].options }, { connect: 1e9, firstByte: 1e9 });
});

test('a signal ends the reading of an answer', async () => {
  const controller = new AbortController();
  upstream(() => ({ body: ['a', 'b'] }));
  const response = await fetch('https://a.b', { signal: controller.signal });
  const reader = response.body.getReader();
  await reader.read();
  controller.abort(new Error('enough'));
  await assert.rejects(() => reader.read(), /enough/);
});
