// Implements Event, EventTarget, AbortController, AbortSignal and DOMException without a tree
// (https://dom.spec.whatwg.org).

import { after } from './timers.js';

const CODES = {
  IndexSizeError: 1,
  InvalidCharacterError: 5,
  NotSupportedError: 9,
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidAccessError: 15,
  NetworkError: 19,
  AbortError: 20,
  QuotaExceededError: 22,
  TimeoutError: 23,
  DataCloneError: 25,
};

export class DOMException extends Error {
  #name;

  constructor(message = '', name = 'Error') {
    super(message);
    this.#name = String(name);
  }

  get name() {
    return this.#name;
  }

  get code() {
    return CODES[this.#name] ?? 0;
  }

  get [Symbol.toStringTag]() {
    return 'DOMException';
  }
}

const STATE = Symbol('state');

export class Event {
  constructor(type, { bubbles = false, cancelable = false, composed = false } = {}) {
    Object.defineProperty(this, STATE, { value: { target: null, isCanceled: false, isStopped: false, phase: 0 } });
    Object.assign(this, { type: String(type), bubbles, cancelable, composed, isTrusted: false, timeStamp: 0 });
  }

  get target() {
    return this[STATE].target;
  }

  get currentTarget() {
    return this[STATE].phase === 0 ? null : this[STATE].target;
  }

  get eventPhase() {
    return this[STATE].phase;
  }

  get defaultPrevented() {
    return this[STATE].isCanceled;
  }

  composedPath() {
    return this.currentTarget ? [this.currentTarget] : [];
  }

  preventDefault() {
    if (this.cancelable) this[STATE].isCanceled = true;
  }

  stopPropagation() {}

  stopImmediatePropagation() {
    this[STATE].isStopped = true;
  }

  get [Symbol.toStringTag]() {
    return 'Event';
  }
}

export class CustomEvent extends Event {
  constructor(type, options = {}) {
    super(type, options);
    this.detail = options.detail ?? null;
  }
}

export class EventTarget {
  #listeners = [];

  addEventListener(type, callback, options) {
    if (callback === null || callback === undefined) return;
    const {
      once = false,
      signal,
      capture = false,
    } = typeof options === 'object' && options ? options : { capture: options };
    if (signal?.aborted) return;
    const isThere = this.#listeners.some(
      (l) => l.type === type && l.callback === callback && l.capture === Boolean(capture),
    );
    if (isThere) return;
    this.#listeners.push({ type, callback, once, capture: Boolean(capture) });
    signal?.addEventListener('abort', () => this.removeEventListener(type, callback, options), { once: true });
  }

  removeEventListener(type, callback, options) {
    const capture = Boolean(typeof options === 'object' && options ? options.capture : options);
    this.#listeners = this.#listeners.filter(
      (l) => !(l.type === type && l.callback === callback && l.capture === capture),
    );
  }

  dispatchEvent(event) {
    if (!(event instanceof Event)) throw new TypeError('dispatchEvent takes an Event');
    const state = event[STATE];
    state.target = this;
    state.phase = 2;
    for (const listener of [...this.#listeners]) {
      if (listener.type !== event.type || state.isStopped) continue;
      if (!this.#listeners.includes(listener)) continue;
      if (listener.once) this.removeEventListener(listener.type, listener.callback, { capture: listener.capture });
      try {
        if (typeof listener.callback === 'function') listener.callback.call(this, event);
        else listener.callback.handleEvent(event);
      } catch (error) {
        console.error(error);
      }
    }
    state.phase = 0;
    return !event.defaultPrevented;
  }
}

const SIGNAL = Symbol('signal');

export class AbortSignal extends EventTarget {
  onabort = null;
  #reason;
  #isAborted = false;

  constructor(key) {
    super();
    if (key !== SIGNAL) throw new TypeError('Illegal constructor: use new AbortController().signal');
  }

  get aborted() {
    return this.#isAborted;
  }

  get reason() {
    return this.#reason;
  }

  throwIfAborted() {
    if (this.#isAborted) throw this.#reason;
  }

  [SIGNAL](reason) {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : reason;
    const event = new Event('abort');
    this.onabort?.(event);
    this.dispatchEvent(event);
  }

  static abort(reason) {
    const signal = new AbortSignal(SIGNAL);
    signal[SIGNAL](reason);
    return signal;
  }

  static timeout(milliseconds) {
    const signal = new AbortSignal(SIGNAL);
    signal.milliseconds = milliseconds;
    const error = () => new DOMException('The operation was aborted due to timeout', 'TimeoutError');
    after(milliseconds, () => signal[SIGNAL](error()));
    return signal;
  }

  static any(signals) {
    const joined = new AbortSignal(SIGNAL);
    for (const signal of signals) {
      if (signal.aborted) {
        joined[SIGNAL](signal.reason);
        return joined;
      }
    }
    for (const signal of signals) signal.addEventListener('abort', () => joined[SIGNAL](signal.reason), { once: true });
    return joined;
  }

  get [Symbol.toStringTag]() {
    return 'AbortSignal';
  }
}

export class AbortController {
  #signal = new AbortSignal(SIGNAL);

  get signal() {
    return this.#signal;
  }

  abort(reason) {
    this.#signal[SIGNAL](reason);
  }

  get [Symbol.toStringTag]() {
    return 'AbortController';
  }
}

// Waits for a promise, or fails with the reason of the signal.
export async function unlessAborted(signal, promise) {
  signal.throwIfAborted();
  let stop;
  const aborted = new Promise((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
