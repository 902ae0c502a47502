// Headers, bodies, forms, events, timers, structuredClone and the console, beside those of Node where it has them.
import assert from 'node:assert/strict';
import { inspect as nodeInspect } from 'node:util';
import { test } from 'node:test';

import { leaveBuild } from '../src/phase.js';
import { Blob as OurBlob, File as OurFile, FormData as OurForm } from '../src/web/blob.js';
import { Request as OurRequest, Response as OurResponse } from '../src/web/body.js';
import { structuredClone as ours } from '../src/web/clone.js';
import { console as ourConsole } from '../src/web/console.js';
import { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget } from '../src/web/events.js';
import { Headers as OurHeaders } from '../src/web/headers.js';
import { format, inspect } from '../src/web/inspect.js';
import * as timers from '../src/web/timers.js';
import { URLSearchParams as OurParams } from '../src/web/url.js';
import { generator } from './support/random.js';
import { lines, slept } from './support/host.js';

leaveBuild();

const outcome = (run) => {
  try {
    return run();
  } catch (error) {
    return error.name;
  }
};

test('headers are those of Node', () => {
  const { pick, below } = generator();
  const names = ['a', 'A', 'Set-Cookie', 'content-type', 'X-Y', 'bad name', 'ü', ''];
  const values = ['1', ' spaced ', 'a, b', 'ü', '漢', 'two\nlines', '', '\tx', 3];
  for (let i = 0; i < 5_000; i++) {
    const both = [new OurHeaders({ a: '0' }), new Headers({ a: '0' })];
    for (let change = below(6); change >= 0; change--) {
      const [method, name, value] = [pick(['append', 'set', 'delete', 'get', 'has']), pick(names), pick(values)];
      const [one, other] = both.map((h) =>
        outcome(() => h[method](name, ...(/append|set/.test(method) ? [value] : []))),
      );
      assert.deepEqual(one, other, `${method} ${name} ${JSON.stringify(value)}`);
    }
    assert.deepEqual([...both[0]], [...both[1]]);
    assert.deepEqual(both[0].getSetCookie(), both[1].getSetCookie());
  }
  assert.throws(() => new OurHeaders([['a']]), TypeError);
  assert.throws(() => new OurHeaders('a: b'), TypeError);
  assert.deepEqual([...new OurHeaders(new OurHeaders({ B: 'x' }))], [['b', 'x']]);
});

const BODIES = [
  ['text', 'grüße'],
  ['bytes', Uint8Array.of(1, 2, 250)],
  ['buffer', new TextEncoder().encode('{"a":1}').buffer],
  ['nothing', null],
];

for (const [name, body] of BODIES) {
  test(`a body of ${name} reads as in Node`, async () => {
    for (const read of ['text', 'arrayBuffer', 'json']) {
      const results = await Promise.all(
        [OurResponse, Response].map(async (Type) => {
          const response = new Type(body);
          const value = await response[read]().then(
            (v) => (v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v),
            (e) => e.name,
          );
          return { value, used: response.bodyUsed, type: response.headers.get('content-type') };
        }),
      );
      assert.deepEqual(results[0], results[1], read);
    }
  });
}

test('a body is read once, and a clone reads again', async () => {
  const response = new OurResponse('hello');
  const copy = response.clone();
  assert.equal(await response.text(), 'hello');
  assert.equal(response.bodyUsed, true);
  await assert.rejects(() => response.text(), /read already/);
  assert.throws(() => response.clone(), /read already/);
  assert.equal(await copy.text(), 'hello');
  async function* chunks() {
    yield new TextEncoder().encode('a');
    yield new TextEncoder().encode('b');
  }
  const streamed = new OurResponse(chunks());
  const twin = streamed.clone();
  assert.deepEqual(await Promise.all([streamed.text(), twin.text()]), ['ab', 'ab']);
  assert.deepEqual(await new OurResponse(new Uint8Array([7])).bytes(), Uint8Array.of(7));
  assert.equal(await (await new OurResponse('x', { headers: { 'content-type': 'a/b' } }).blob()).type, 'a/b');
});

test('responses have the statuses and types of the standard', () => {
  assert.throws(() => new OurResponse('x', { status: 204 }), /status 204 has no body/);
  assert.throws(() => new OurResponse('x', { status: 99 }), RangeError);
  const json = OurResponse.json({ a: [1] }, { status: 201, headers: { x: 'y' } });
  assert.deepEqual(
    [json.status, json.ok, json.headers.get('content-type'), json.headers.get('x')],
    [201, true, 'application/json', 'y'],
  );
  assert.throws(() => OurResponse.json(undefined), TypeError);
  const redirect = OurResponse.redirect('https://a.b/c', 303);
  assert.deepEqual([redirect.status, redirect.headers.get('location')], [303, 'https://a.b/c']);
  assert.equal(OurResponse.redirect('/login').headers.get('location'), '/login');
  assert.throws(() => OurResponse.redirect('/x', 200), RangeError);
});

test('requests have the parts of the standard', async () => {
  const request = new OurRequest('http://a.b/c?d', {
    method: 'post',
    body: new OurParams({ q: 'x y' }),
    headers: { A: '1' },
  });
  assert.deepEqual([request.method, request.url, request.headers.get('a')], ['POST', 'http://a.b/c?d', '1']);
  assert.equal(request.headers.get('content-type'), 'application/x-www-form-urlencoded;charset=UTF-8');
  const again = new OurRequest(request, { headers: { b: '2' } });
  assert.deepEqual([again.headers.has('a'), await again.text(), request.bodyUsed], [false, 'q=x+y', true]);
  assert.throws(() => new OurRequest('http://a.b', { body: 'x' }), /a GET request has no body/);
  assert.throws(() => new OurRequest('/relative'), /Invalid URL: "\/relative"/);
  assert.throws(() => new OurRequest('http://u:p@a.b'), /authorization header/);
  assert.throws(() => new OurRequest('http://a.b', { method: 'a b' }), TypeError);
});

test('forms are written and read as Node does', async () => {
  const build = (Form, FileType, BlobType) => {
    const form = new Form();
    form.append('name', 'Ada "the first"\nLovelace');
    form.append('file', new FileType([Uint8Array.of(0, 13, 10, 45, 45, 255)], 'a "b".bin', { type: 'application/x' }));
    form.append('blob', new BlobType(['hi']));
    form.append('name', 'ü');
    return form;
  };
  const mine = new OurResponse(build(OurForm, OurFile, OurBlob));
  // What we write, Node reads; what Node writes, we read.
  const readByNode = await new Response(await mine.bytes(), { headers: [...mine.headers] }).formData();
  const theirs = new Response(build(FormData, File, Blob));
  const [type, bytes] = [theirs.headers.get('content-type'), new Uint8Array(await theirs.arrayBuffer())];
  const readByUs = await new OurResponse(bytes, { headers: { 'content-type': type } }).formData();
  for (const form of [readByNode, readByUs]) {
    assert.deepEqual(form.getAll('name'), ['Ada "the first"\r\nLovelace', 'ü']);
    const file = form.get('file');
    assert.deepEqual([file.name, file.type, file.size], ['a "b".bin', 'application/x', 6]);
    assert.deepEqual([...new Uint8Array(await file.arrayBuffer())], [0, 13, 10, 45, 45, 255]);
    assert.equal(await form.get('blob').text(), 'hi');
  }
  const coded = new OurResponse('a=1&a=%C3%BC&b=x+y', {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  assert.deepEqual(
    [...(await coded.formData())],
    [
      ['a', '1'],
      ['a', 'ü'],
      ['b', 'x y'],
    ],
  );
  await assert.rejects(() => new OurResponse('x').formData(), /is no form: send application\/x-www-form-urlencoded/);
  const broken = new OurResponse('--x\r\nfoo', { headers: { 'content-type': 'multipart/form-data; boundary=x' } });
  await assert.rejects(() => broken.formData(), /its end is missing/);
});

test('blobs are sliced and read as in Node', async () => {
  for (const Type of [OurBlob, Blob]) {
    const blob = new Type(['ab', Uint8Array.of(99), new Type(['de'])], { type: 'Text/Plain' });
    assert.deepEqual([blob.size, blob.type, await blob.text()], [5, 'text/plain', 'abcde']);
    assert.equal(await blob.slice(1, -1).text(), 'bcd');
  }
});

test('events reach their listeners', () => {
  const target = new EventTarget();
  const got = [];
  const listener = { handleEvent: (event) => got.push(`object ${event.type}`) };
  const once = () => got.push('once');
  target.addEventListener('x', once, { once: true });
  target.addEventListener('x', listener);
  target.addEventListener('x', listener);
  target.addEventListener('x', (event) => event.preventDefault());
  assert.equal(target.dispatchEvent(new Event('x', { cancelable: true })), false);
  target.removeEventListener('x', listener);
  target.dispatchEvent(new CustomEvent('x', { detail: 3 }));
  assert.deepEqual(got, ['once', 'object x']);
});

test('signals abort, time out, and join', async () => {
  const controller = new AbortController();
  const got = [];
  controller.signal.addEventListener('abort', () => got.push(controller.signal.reason.name));
  controller.signal.onabort = () => got.push('onabort');
  controller.abort();
  controller.abort('again');
  assert.deepEqual(got, ['onabort', 'AbortError']);
  assert.throws(() => controller.signal.throwIfAborted(), { name: 'AbortError' });
  assert.equal(AbortSignal.abort('why').reason, 'why');
  const late = AbortSignal.timeout(5);
  const joined = AbortSignal.any([new AbortController().signal, late]);
  await new Promise((resolve) => joined.addEventListener('abort', resolve));
  assert.equal(joined.reason.name, 'TimeoutError');
  assert.equal(AbortSignal.any([AbortSignal.abort(1)]).reason, 1);
  assert.throws(() => new AbortSignal(), TypeError);
  const error = new DOMException('m', 'AbortError');
  assert.deepEqual([error.name, error.code, error.message, error instanceof Error], ['AbortError', 20, 'm', true]);
});

test('timers run in their order, with their arguments', async () => {
  const got = [];
  timers.setTimeout((...args) => got.push(args), 20, 'late', 1);
  timers.setTimeout(() => got.push('soon'), 1);
  const cleared = timers.setTimeout(() => got.push('never'), 5);
  timers.clearTimeout(cleared);
  let ticks = 0;
  const interval = timers.setInterval(() => {
    got.push('tick');
    if (++ticks === 3) timers.clearInterval(interval);
  }, 2);
  timers.queueMicrotask(() => got.push('microtask'));
  const isDone = () => ticks === 3 && got.some((entry) => entry[0] === 'late');
  for (let wait = 0; wait < 200 && !isDone(); wait++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(got[0], 'microtask');
  assert.deepEqual(
    got.filter((entry) => entry !== 'tick'),
    ['microtask', 'soon', ['late', 1]],
  );
  assert.deepEqual(got.filter((x) => x === 'tick').length, 3);
});

test('a cleared timer holds the task for a small part of the time that has passed', async () => {
  slept.length = 0;
  const id = timers.setTimeout(() => {}, 60_000);
  await new Promise((resolve) => setTimeout(resolve, 30));
  timers.clearTimeout(id);
  const { length } = slept;
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.ok(
    slept.length <= length + 1 && slept[0] === 1_000_000 && slept.every((one) => one <= 50_000_000),
    String(slept),
  );
});

test('timers end with the last request', async () => {
  const got = [];
  const [first, second] = [timers.beginRequest(), timers.beginRequest()];
  timers.setTimeout(() => got.push('early'), 1);
  timers.setTimeout(() => got.push('late'), 60);
  await new Promise((resolve) => setTimeout(resolve, 20));
  first();
  second();
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.deepEqual(got, ['early']);
});

test('structuredClone copies what Node copies', () => {
  const shared = { x: 1 };
  const buffer = new Uint8Array([1, 2, 3]).buffer;
  const value = {
    list: [1, , 'two', null, undefined, 3n],
    date: new Date(5),
    regexp: /a+/gi,
    map: new Map([[{ k: 1 }, new Set([shared])]]),
    shared,
    again: shared,
    bytes: new Uint8Array(buffer, 1, 2),
    view: new DataView(buffer, 1),
    error: new RangeError('far', { cause: 'near' }),
    boxed: Object(true),
    nested: { proto: Object.create({ inherited: 1 }) },
  };
  value.self = value;
  const copies = [ours(value), structuredClone(value)];
  // Frames of an error name the place of its copy.
  for (const copy of copies) copy.error.stack = '';
  assert.deepEqual(copies[0], copies[1]);
  const [copy] = copies;
  assert.equal(copy.self, copy);
  assert.equal(copy.shared, copy.again);
  assert.notEqual(copy.shared, shared);
  assert.equal(copy.bytes.buffer, copy.view.buffer);
  // What clients send may have this name, and would be inherited by the copy.
  const named = ours(JSON.parse('{"__proto__":{"admin":true},"constructor":1}'));
  assert.deepEqual([Object.keys(named), named.admin], [['__proto__', 'constructor'], undefined]);
  for (const bad of [() => {}, Symbol('s'), { f() {} }, Promise.resolve(), new WeakMap()]) {
    assert.throws(() => ours(bad), { name: 'DataCloneError' });
  }
});

test('values are shown as Node shows them', () => {
  class Person {
    constructor() {
      this.name = 'Ada';
    }
  }
  const cyclic = { a: 1 };
  cyclic.self = [cyclic];
  const values = [
    ...[1, -0, 3n, "it's", 'a\nb', true, null, undefined, Symbol('s'), [], {}, [1, 'a'], { a: { b: [{}] } }],
    ...[
      new Map([['k', { v: 1 }]]),
      new Set([1]),
      /x/g,
      new Date(0),
      Object.create(null),
      new Person(),
      () => {},
      Person,
    ],
    ...[{ 'odd key': 1, [Symbol('k')]: 2 }, new Float64Array([1.5]), Object('s')],
  ];
  for (const value of values) assert.equal(inspect(value), nodeInspect(value));
  assert.equal(inspect(cyclic), '{ a: 1, self: [ [Circular] ] }');
  assert.equal(
    inspect({
      get x() {
        return 1;
      },
    }),
    '{ x: [Getter] }',
  );
  assert.equal(inspect(new OurHeaders({ a: 'b' })), "Headers { a: 'b' }");
  assert.match(inspect({ deep: { a: { b: { c: { d: { e: 1 } } } } } }), /\[Object\]/);
  assert.match(inspect(Uint8Array.of(1, 255)), /Uint8Array\(2\) <01 ff>/);
  assert.equal(format(['%s is %d, %j %% %o', 'x', 3, { a: 1 }, [2], 'more']), 'x is 3, {"a":1} % [ 2 ] more');
});

test('the console writes lines, errors with their cause', () => {
  lines.length = 0;
  ourConsole.log('hello', { a: 1 });
  ourConsole.group('outer');
  ourConsole.warn('two\nlines');
  ourConsole.groupEnd();
  ourConsole.error(new TypeError('bad', { cause: new Error('deep') }));
  ourConsole.count();
  ourConsole.assert(1 === 1, 'unseen');
  ourConsole.assert(false, 'seen');
  assert.equal(lines[0], 'hello { a: 1 }\n');
  assert.equal(lines[2], '  two\n  lines\n');
  assert.match(lines[3], /^TypeError: bad\n    at .*web\.test\.js:\d+:\d+.*\n(.*\n)*  \[cause\]: Error: deep/);
  assert.deepEqual(lines.slice(4), ['default: 1\n', 'Assertion failed: seen\n']);
});
