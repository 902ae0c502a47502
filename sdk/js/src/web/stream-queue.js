// Defines what streams of both directions share: promises that are settled from outside, and queuing strategies.

export class Deferred {
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => {});
  }
}

// The inner state of a stream, for the other files of this folder.
export const CONTROL = Symbol('control');

export function highWaterMark(strategy, otherwise) {
  const mark = strategy?.highWaterMark;
  if (mark === undefined) return otherwise;
  const value = Number(mark);
  if (Number.isNaN(value) || value < 0) throw new RangeError('highWaterMark is a number, zero or above');
  return value;
}

export class CountQueuingStrategy {
  constructor({ highWaterMark }) {
    this.highWaterMark = highWaterMark;
  }

  size() {
    return 1;
  }
}

export class ByteLengthQueuingStrategy {
  constructor({ highWaterMark }) {
    this.highWaterMark = highWaterMark;
  }

  size(chunk) {
    return chunk.byteLength;
  }
}
