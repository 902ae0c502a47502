// Implements TransformStream (https://streams.spec.whatwg.org/#ts).

import { ReadableStream } from './readable-stream.js';
import { CONTROL, Deferred, highWaterMark } from './stream-queue.js';
import { WritableStream } from './writable-stream.js';

export class TransformStream {
  constructor(transformer = {}, writableStrategy = {}, readableStrategy = {}) {
    let output;
    let room = new Deferred();
    const controller = {
      get desiredSize() {
        return output.desiredSize;
      },
      enqueue: (chunk) => output.enqueue(chunk),
      error: (error) => {
        output.error(error);
        this.writable[CONTROL].sink.fail(error);
        room.resolve();
      },
      terminate: () => {
        output.close();
        this.writable[CONTROL].sink.fail(new TypeError('the transformation has ended'));
        room.resolve();
      },
    };
    const started = new Deferred();
    this.readable = new ReadableStream(
      {
        start(readable) {
          output = readable;
          return started.promise;
        },
        pull() {
          room.resolve();
          room = new Deferred();
        },
        cancel: async (reason) => {
          await transformer.cancel?.(reason);
          this.writable[CONTROL].sink.fail(reason);
          room.resolve();
        },
      },
      { highWaterMark: highWaterMark(readableStrategy, 0), size: readableStrategy?.size },
    );
    const attempt = async (step) => {
      try {
        await step();
      } catch (error) {
        output.error(error);
        throw error;
      }
    };
    this.writable = new WritableStream(
      {
        start: () => started.promise,
        write: async (chunk) => {
          if (!(output.desiredSize > 0) && this.readable[CONTROL].queue.waiting.length === 0) await room.promise;
          if (this.writable[CONTROL].sink.state === 'errored') throw this.writable[CONTROL].sink.error;
          await attempt(() =>
            transformer.transform ? transformer.transform(chunk, controller) : output.enqueue(chunk),
          );
        },
        close: () =>
          attempt(async () => {
            await transformer.flush?.(controller);
            if (this.readable[CONTROL].queue.state === 'readable') output.close();
          }),
        abort: async (reason) => {
          await transformer.cancel?.(reason);
          output.error(reason);
        },
      },
      writableStrategy,
    );
    started.resolve(transformer.start?.(controller));
  }

  get [Symbol.toStringTag]() {
    return 'TransformStream';
  }
}
