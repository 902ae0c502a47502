// Exports the streams of the web (https://streams.spec.whatwg.org), as bodies and pipelines use them.
//
// Differences: a byte stream (`type: 'bytes'`) has chunks like any other stream, without BYOB readers, and a stream is
// not transferable.

export {
  isDisturbed,
  ReadableStream,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
} from './readable-stream.js';
export { ByteLengthQueuingStrategy, CountQueuingStrategy } from './stream-queue.js';
export { TransformStream } from './transform-stream.js';
export { WritableStream, WritableStreamDefaultWriter } from './writable-stream.js';
