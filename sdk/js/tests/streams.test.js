// Streams: what pipelines and bodies rely on. Each story runs on Node's classes too, so that it tells the standard.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as node from 'node:stream/web';

import * as ours from '../src/web/streams.js';

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));

async function all(stream) {
  const out = [];
  for await (const chunk of stream) out.push(chunk);
  return out;
}

const STORIES = {
  async 'a source is pulled when there is room'({ ReadableStream }) {
    const pulls = [];
    const stream = new ReadableStream({
      pull(controller) {
        pulls.push(controller.desiredSize);
        controller.enqueue(pulls.length);
        if (pulls.length === 4) controller.close();
      },
    });
    await tick();
    const before = pulls.length;
    return [before, await all(stream), pulls.length];
  },
  async 'a source that fails rejects its reads'({ ReadableStream }) {
    const stream = new ReadableStream({
      start: (c) => c.enqueue('a'),
      pull() {
        throw new Error('broken');
      },
    });
    const reader = stream.getReader();
    const first = await reader.read().catch((e) => e.message);
    const second = await reader.read().catch((e) => e.message);
    return [first, second, await reader.closed.catch((e) => `closed: ${e.message}`)];
  },
  async 'cancel reaches the source, and later reads are done'({ ReadableStream }) {
    const reasons = [];
    const stream = new ReadableStream({ start: (c) => c.enqueue(1), cancel: (reason) => reasons.push(reason) });
    const reader = stream.getReader();
    await reader.cancel('enough');
    return [reasons, await reader.read(), stream.locked];
  },
  async 'a break in a loop cancels the stream'({ ReadableStream }) {
    let isCanceled = false;
    const stream = new ReadableStream({ pull: (c) => c.enqueue(1), cancel: () => (isCanceled = true) });
    for await (const chunk of stream) {
      assert.equal(chunk, 1);
      break;
    }
    return [isCanceled, stream.locked];
  },
  async 'a loop over values() can leave the stream usable'({ ReadableStream }) {
    let next = 0;
    const stream = new ReadableStream({ pull: (c) => c.enqueue(next++) });
    for await (const _ of stream.values({ preventCancel: true })) break;
    const { value } = await stream.getReader().read();
    return [value];
  },
  async 'tee gives every chunk twice'({ ReadableStream }) {
    const [one, two] = new ReadableStream({
      start(c) {
        for (const chunk of ['a', 'b', 'c']) c.enqueue(chunk);
        c.close();
      },
    }).tee();
    return Promise.all([all(one), all(two)]);
  },
  async 'tee cancels its source when both branches are cancelled'({ ReadableStream }) {
    const reasons = [];
    const [one, two] = new ReadableStream({ cancel: (r) => void reasons.push(r) }).tee();
    const both = Promise.all([one.cancel('x'), two.cancel('y')]);
    await both;
    return reasons;
  },
  async 'a locked stream has one reader'({ ReadableStream }) {
    const stream = new ReadableStream();
    const reader = stream.getReader();
    const error = (() => {
      try {
        stream.getReader();
      } catch (e) {
        return e.name;
      }
    })();
    const cancel = await stream.cancel().catch((e) => e.name);
    reader.releaseLock();
    const late = await reader.read().catch((e) => e.name);
    return [error, cancel, stream.locked, late];
  },
  async 'a transform changes, adds and drops chunks, and flushes'({ ReadableStream, TransformStream }) {
    const source = new ReadableStream({
      start(c) {
        for (let i = 0; i < 5; i++) c.enqueue(i);
        c.close();
      },
    });
    const doubled = new TransformStream({
      transform(chunk, c) {
        if (chunk % 2 === 0) c.enqueue(chunk * 2);
        if (chunk === 4) c.enqueue('four');
      },
      flush: (c) => c.enqueue('end'),
    });
    return all(source.pipeThrough(doubled).pipeThrough(new TransformStream()));
  },
  async 'an error in a transform reaches both ends'({ TransformStream }) {
    const { readable, writable } = new TransformStream({
      transform() {
        throw new Error('no');
      },
    });
    const writer = writable.getWriter();
    const written = writer.write(1).catch((e) => e.message);
    const read = await readable
      .getReader()
      .read()
      .catch((e) => e.message);
    return [await written, read, await writer.closed.catch((e) => e.message)];
  },
  async 'pipeTo writes everything, and closes'({ ReadableStream, WritableStream }) {
    const got = [];
    const target = new WritableStream({ write: (chunk) => void got.push(chunk), close: () => void got.push('closed') });
    await new ReadableStream({
      start(c) {
        c.enqueue(1);
        c.enqueue(2);
        c.close();
      },
    }).pipeTo(target);
    return [got, target.locked];
  },
  async 'pipeTo aborts its target when the source fails'({ ReadableStream, WritableStream }) {
    const got = [];
    const target = new WritableStream({ abort: (reason) => void got.push(reason.message) });
    const source = new ReadableStream({
      pull() {
        throw new Error('dry');
      },
    });
    const outcome = await source.pipeTo(target).catch((e) => e.message);
    return [outcome, got];
  },
  async 'pipeTo cancels its source when the target fails'({ ReadableStream, WritableStream }) {
    const got = [];
    const target = new WritableStream({
      write() {
        throw new Error('full');
      },
    });
    const source = new ReadableStream({ pull: (c) => c.enqueue(1), cancel: (reason) => void got.push(reason.message) });
    const outcome = await source.pipeTo(target).catch((e) => e.message);
    return [outcome, got];
  },
  async 'a writer waits until there is room'({ WritableStream }) {
    const order = [];
    const target = new WritableStream({
      async write(chunk) {
        await tick();
        order.push(chunk);
      },
    });
    const writer = target.getWriter();
    const sizes = [writer.desiredSize];
    const write = writer.write('a');
    sizes.push(writer.desiredSize);
    await writer.ready;
    sizes.push(writer.desiredSize);
    await Promise.all([write, writer.write('b'), writer.close()]);
    return [sizes, order];
  },
  async 'the size of chunks counts'({ ReadableStream, ByteLengthQueuingStrategy, CountQueuingStrategy }) {
    const sizes = [];
    new ReadableStream(
      {
        start(c) {
          sizes.push(c.desiredSize);
          c.enqueue(new Uint8Array(3));
          sizes.push(c.desiredSize);
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: 10 }),
    );
    new ReadableStream(
      { start: (c) => void sizes.push(c.desiredSize) },
      new CountQueuingStrategy({ highWaterMark: 2 }),
    );
    return sizes;
  },
};

for (const [name, story] of Object.entries(STORIES)) {
  test(name, async () => {
    assert.deepEqual(await story(ours), await story(node));
  });
}

test('ReadableStream.from takes generators and lists', async () => {
  async function* numbers() {
    yield 1;
    yield 2;
  }
  assert.deepEqual(await all(ours.ReadableStream.from(numbers())), [1, 2]);
  assert.deepEqual(await all(ours.ReadableStream.from(['a', Promise.resolve('b')])), ['a', 'b']);
  assert.throws(() => ours.ReadableStream.from(3), TypeError);
});

test('pipeTo stops when its signal aborts', async () => {
  const { AbortController } = await import('../src/web/events.js');
  const controller = new AbortController();
  let canceled;
  const source = new ours.ReadableStream({ cancel: (reason) => (canceled = reason) });
  const piping = source.pipeTo(new ours.WritableStream(), { signal: controller.signal });
  controller.abort(new Error('stop'));
  await assert.rejects(piping, /stop/);
  assert.equal(canceled.message, 'stop');
});
