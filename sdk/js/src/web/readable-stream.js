// Implements ReadableStream (https://streams.spec.whatwg.org/#rs).

import { CONTROL, Deferred, highWaterMark } from './stream-queue.js';
import { FAILED } from './writable-stream.js';

// The state of a ReadableStream: a queue between a source and the reads that wait.
class Queue {
  state = 'readable';
  chunks = [];
  size = 0;
  waiting = [];
  isClosing = false;
  isPulling = false;
  pullAgain = false;
  isStarted = false;
  ended = new Deferred();

  constructor(stream, source, strategy) {
    this.source = source;
    this.mark = highWaterMark(strategy, source.type === 'bytes' ? 0 : 1);
    this.measure = strategy?.size ?? (() => 1);
    this.controller = new ReadableStreamDefaultController(this);
    this.stream = stream;
  }

  start() {
    const started = this.source.start?.(this.controller);
    Promise.resolve(started).then(
      () => {
        this.isStarted = true;
        this.pull();
      },
      (error) => this.fail(error),
    );
  }

  get wanted() {
    if (this.state === 'errored') return null;
    return this.state === 'closed' ? 0 : this.mark - this.size;
  }

  enqueue(chunk) {
    if (this.state !== 'readable' || this.isClosing) throw new TypeError('the stream is closed: nothing can be added');
    const reader = this.waiting.shift();
    if (reader) {
      reader.resolve({ value: chunk, done: false });
    } else {
      let size;
      try {
        size = Number(this.measure(chunk));
        if (!(size >= 0 && size < Infinity)) throw new RangeError('the size of a chunk is a finite number');
      } catch (error) {
        this.fail(error);
        throw error;
      }
      this.chunks.push({ chunk, size });
      this.size += size;
    }
    this.pull();
  }

  close() {
    if (this.state !== 'readable' || this.isClosing) throw new TypeError('the stream is closed already');
    this.isClosing = true;
    if (this.chunks.length === 0) this.finish();
  }

  finish() {
    if (this.state !== 'readable') return;
    this.state = 'closed';
    for (const reader of this.waiting.splice(0)) reader.resolve({ value: undefined, done: true });
    this.ended.resolve();
  }

  fail(error) {
    if (this.state !== 'readable') return;
    this.state = 'errored';
    this.error = error;
    this.chunks = [];
    this.size = 0;
    for (const reader of this.waiting.splice(0)) reader.reject(error);
    this.ended.reject(error);
  }

  pull() {
    if (!this.isStarted || this.state !== 'readable' || this.isClosing) return;
    if (!(this.wanted > 0) && this.waiting.length === 0) return;
    if (this.isPulling) {
      this.pullAgain = true;
      return;
    }
    if (!this.source.pull) return;
    this.isPulling = true;
    let pulled;
    try {
      pulled = this.source.pull(this.controller);
    } catch (error) {
      this.fail(error);
      return;
    }
    Promise.resolve(pulled).then(
      () => {
        this.isPulling = false;
        if (!this.pullAgain) return;
        this.pullAgain = false;
        this.pull();
      },
      (error) => this.fail(error),
    );
  }

  read() {
    this.isDisturbed = true;
    if (this.state === 'errored') return Promise.reject(this.error);
    const next = this.chunks.shift();
    if (next) {
      this.size = this.chunks.length === 0 ? 0 : this.size - next.size;
      if (this.isClosing && this.chunks.length === 0) this.finish();
      else this.pull();
      return Promise.resolve({ value: next.chunk, done: false });
    }
    if (this.state === 'closed') return Promise.resolve({ value: undefined, done: true });
    const reader = new Deferred();
    this.waiting.push(reader);
    this.pull();
    return reader.promise;
  }

  async cancel(reason) {
    this.isDisturbed = true;
    if (this.state === 'errored') throw this.error;
    if (this.state === 'closed') return;
    this.chunks = [];
    this.size = 0;
    this.finish();
    await this.source.cancel?.(reason);
  }
}

export class ReadableStreamDefaultController {
  #queue;

  constructor(queue) {
    if (!(queue instanceof Queue)) throw new TypeError('Illegal constructor');
    this.#queue = queue;
  }

  get desiredSize() {
    return this.#queue.wanted;
  }

  enqueue(chunk) {
    this.#queue.enqueue(chunk);
  }

  close() {
    this.#queue.close();
  }

  error(error) {
    this.#queue.fail(error);
  }
}

export class ReadableStreamDefaultReader {
  #stream;
  #closed;

  constructor(stream) {
    if (!(stream instanceof ReadableStream)) throw new TypeError('a reader needs a ReadableStream');
    const control = stream[CONTROL];
    if (control.reader) throw new TypeError('the stream is locked: it has a reader already');
    control.reader = this;
    this.#stream = stream;
    this.#closed = control.queue.ended.promise;
  }

  get closed() {
    return this.#closed;
  }

  read() {
    if (!this.#stream) return Promise.reject(new TypeError('the reader has released its stream'));
    return this.#stream[CONTROL].queue.read();
  }

  cancel(reason) {
    if (!this.#stream) return Promise.reject(new TypeError('the reader has released its stream'));
    return this.#stream[CONTROL].queue.cancel(reason);
  }

  releaseLock() {
    if (!this.#stream) return;
    const { queue } = this.#stream[CONTROL];
    const error = new TypeError('the reader has released its stream');
    for (const waiting of queue.waiting.splice(0)) waiting.reject(error);
    this.#stream[CONTROL].reader = undefined;
    this.#stream = undefined;
    this.#closed = Promise.reject(error);
    this.#closed.catch(() => {});
  }
}

export class ReadableStream {
  constructor(source = {}, strategy = {}) {
    if (source === null || typeof source !== 'object')
      throw new TypeError('the source of a ReadableStream is an object');
    if (source.type !== undefined && source.type !== 'bytes') throw new TypeError(`no type of stream: ${source.type}`);
    const queue = new Queue(this, source, strategy);
    Object.defineProperty(this, CONTROL, { value: { queue, reader: undefined } });
    queue.start();
  }

  static from(iterable) {
    const iterator = iterable?.[Symbol.asyncIterator]?.() ?? iterable?.[Symbol.iterator]?.();
    if (!iterator) throw new TypeError('ReadableStream.from takes an iterable or an async iterable');
    return new ReadableStream(
      {
        async pull(controller) {
          const { value, done } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(await value);
        },
        async cancel(reason) {
          await iterator.return?.(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  get locked() {
    return this[CONTROL].reader !== undefined;
  }

  getReader(options) {
    if (options?.mode !== undefined)
      throw new TypeError('this stream has no BYOB reader: call getReader() without a mode');
    return new ReadableStreamDefaultReader(this);
  }

  cancel(reason) {
    if (this.locked) return Promise.reject(new TypeError('the stream is locked: cancel its reader'));
    return this[CONTROL].queue.cancel(reason);
  }

  tee() {
    const reader = this.getReader();
    const branches = [];
    const isCanceled = [false, false];
    const reasons = [];
    const canceled = new Deferred();
    let reading;
    const pull = () => {
      reading ??= reader.read().then(
        ({ value, done }) => {
          reading = undefined;
          branches.forEach((branch, index) => {
            if (isCanceled[index]) return;
            if (done) branch.close();
            else branch.enqueue(value);
          });
        },
        (error) => branches.forEach((branch) => branch.error(error)),
      );
      return reading;
    };
    const branch = (index) =>
      new ReadableStream({
        start(controller) {
          branches[index] = controller;
        },
        pull,
        cancel(reason) {
          isCanceled[index] = true;
          reasons[index] = reason;
          if (isCanceled[0] && isCanceled[1]) canceled.resolve(reader.cancel(reasons));
          return canceled.promise;
        },
      });
    return [branch(0), branch(1)];
  }

  async pipeTo(target, { preventClose, preventAbort, preventCancel, signal } = {}) {
    const reader = this.getReader();
    const writer = target.getWriter();
    const aborted = new Deferred();
    const onAbort = () => aborted.reject(signal.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort);
    try {
      for (;;) {
        await Promise.race([writer.ready, aborted.promise]);
        let next;
        try {
          next = await Promise.race([reader.read(), aborted.promise, writer[FAILED]]);
        } catch (error) {
          if (!preventAbort) await writer.abort(error).catch(() => {});
          throw error;
        }
        if (next.done) break;
        await Promise.race([writer.write(next.value), aborted.promise]);
      }
      if (!preventClose) await writer.close();
    } catch (error) {
      if (!preventCancel) await reader.cancel(error).catch(() => {});
      if (signal?.aborted && !preventAbort) await writer.abort(error).catch(() => {});
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      reader.releaseLock();
      writer.releaseLock();
    }
  }

  pipeThrough({ readable, writable }, options) {
    this.pipeTo(writable, options).catch(() => {});
    return readable;
  }

  async *values({ preventCancel = false } = {}) {
    const reader = this.getReader();
    let isDone = false;
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) {
          isDone = true;
          return;
        }
        yield value;
      }
    } catch (error) {
      isDone = true;
      throw error;
    } finally {
      if (!isDone && !preventCancel) await reader.cancel();
      reader.releaseLock();
    }
  }

  get [Symbol.toStringTag]() {
    return 'ReadableStream';
  }
}
Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, {
  value: ReadableStream.prototype.values,
  writable: true,
  configurable: true,
});

// True once something has been read from the stream.
export const isDisturbed = (stream) => stream[CONTROL].queue.isDisturbed === true;
