// Implements WritableStream (https://streams.spec.whatwg.org/#ws).

import { AbortController } from './events.js';
import { CONTROL, Deferred, highWaterMark } from './stream-queue.js';

// The promise of a writer that rejects when its stream fails.
export const FAILED = Symbol('failed');

// The state of a WritableStream: chunks that wait for the sink, one write at a time.
class Sink {
  state = 'writable';
  chunks = [];
  size = 0;
  isBusy = true;
  ready = new Deferred();
  ended = new Deferred();
  failed = new Deferred();

  constructor(sink, strategy) {
    this.sink = sink;
    this.mark = highWaterMark(strategy, 1);
    this.measure = strategy?.size ?? (() => 1);
    this.abortion = new AbortController();
    this.controller = { error: (error) => this.fail(error), signal: this.abortion.signal };
    if (this.mark > 0) this.ready.resolve();
  }

  start() {
    const started = this.sink.start?.(this.controller);
    Promise.resolve(started).then(
      () => {
        this.isBusy = false;
        this.next();
      },
      (error) => this.fail(error),
    );
  }

  get wanted() {
    if (this.state === 'errored') return null;
    return this.state === 'closed' ? 0 : this.mark - this.size;
  }

  push(chunk) {
    if (this.state === 'errored') return Promise.reject(this.error);
    if (this.state !== 'writable') return Promise.reject(new TypeError('the stream is closed: nothing can be written'));
    let size;
    try {
      size = Number(this.measure(chunk));
    } catch (error) {
      this.fail(error);
      return Promise.reject(error);
    }
    const written = new Deferred();
    this.chunks.push({ chunk, size, written });
    const wasReady = this.wanted > 0;
    this.size += size;
    if (wasReady && !(this.wanted > 0)) this.ready = new Deferred();
    this.next();
    return written.promise;
  }

  close() {
    if (this.state === 'errored') return Promise.reject(this.error);
    if (this.state !== 'writable') return Promise.reject(new TypeError('the stream is closed already'));
    this.state = 'closing';
    this.ready.resolve();
    this.next();
    return this.ended.promise;
  }

  async next() {
    if (this.isBusy || this.state === 'errored' || this.state === 'closed') return;
    const entry = this.chunks[0];
    if (!entry && this.state !== 'closing') return;
    this.isBusy = true;
    try {
      if (!entry) {
        await this.sink.close?.();
        this.state = 'closed';
        this.ended.resolve();
        return;
      }
      await this.sink.write?.(entry.chunk, this.controller);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.state === 'errored') return;
    this.chunks.shift();
    this.size -= entry.size;
    entry.written.resolve();
    this.isBusy = false;
    if (this.wanted > 0) this.ready.resolve();
    this.next();
  }

  fail(error) {
    if (this.state === 'errored' || this.state === 'closed') return;
    this.state = 'errored';
    this.error = error;
    for (const { written } of this.chunks.splice(0)) written.reject(error);
    this.ready.promise.catch(() => {});
    this.ready.reject(error);
    this.ready = new Deferred();
    this.ready.reject(error);
    this.ended.reject(error);
    this.failed.reject(error);
  }

  async abort(reason) {
    if (this.state === 'errored' || this.state === 'closed') return;
    this.fail(reason);
    this.abortion.abort(reason);
    await this.sink.abort?.(reason);
  }
}

export class WritableStreamDefaultWriter {
  #stream;

  constructor(stream) {
    const control = stream[CONTROL];
    if (control.writer) throw new TypeError('the stream is locked: it has a writer already');
    control.writer = this;
    this.#stream = stream;
  }

  get #sink() {
    if (!this.#stream) throw new TypeError('the writer has released its stream');
    return this.#stream[CONTROL].sink;
  }

  get [FAILED]() {
    return this.#sink.failed.promise;
  }

  get closed() {
    return this.#sink.ended.promise;
  }

  get ready() {
    return this.#sink.ready.promise;
  }

  get desiredSize() {
    return this.#sink.wanted;
  }

  write(chunk) {
    return this.#sink.push(chunk);
  }

  close() {
    return this.#sink.close();
  }

  abort(reason) {
    return this.#sink.abort(reason);
  }

  releaseLock() {
    if (!this.#stream) return;
    this.#stream[CONTROL].writer = undefined;
    this.#stream = undefined;
  }
}

export class WritableStream {
  constructor(sink = {}, strategy = {}) {
    const state = new Sink(sink ?? {}, strategy);
    Object.defineProperty(this, CONTROL, { value: { sink: state, writer: undefined } });
    state.start();
  }

  get locked() {
    return this[CONTROL].writer !== undefined;
  }

  getWriter() {
    return new WritableStreamDefaultWriter(this);
  }

  abort(reason) {
    if (this.locked) return Promise.reject(new TypeError('the stream is locked: abort its writer'));
    return this[CONTROL].sink.abort(reason);
  }

  close() {
    if (this.locked) return Promise.reject(new TypeError('the stream is locked: close its writer'));
    return this[CONTROL].sink.close();
  }

  get [Symbol.toStringTag]() {
    return 'WritableStream';
  }
}
