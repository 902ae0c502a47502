// Implements structuredClone (https://html.spec.whatwg.org/#structured-cloning), without transfer.

import { Blob } from './blob.js';
import { DOMException } from './events.js';

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function refuse(value) {
  const what = typeof value === 'function' ? `a function${value.name ? ` (${value.name})` : ''}` : String(value);
  return new DOMException(`${what} could not be cloned`, 'DataCloneError');
}

function cloneBuffer(value, known) {
  const held = known.get(value);
  if (held) return held;
  const copy = value.slice(0);
  known.set(value, copy);
  return copy;
}

function empty(value) {
  if (Array.isArray(value)) return new Array(value.length);
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof RegExp) return new RegExp(value.source, value.flags);
  if (value instanceof Map) return new Map();
  if (value instanceof Set) return new Set();
  if (value instanceof Blob) return value;
  if (['Boolean', 'Number', 'String', 'BigInt'].some((name) => value instanceof globalThis[name])) {
    return Object(value.valueOf());
  }
  if (value instanceof Error) {
    const copy = new (Object.hasOwn(ERRORS, value.name) ? ERRORS[value.name] : Error)();
    const hidden = (name) => {
      const held = value[name];
      if (held !== undefined) {
        Object.defineProperty(copy, name, { value: String(held), writable: true, configurable: true });
      }
    };
    hidden('message');
    hidden('stack');
    return copy;
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
    throw refuse(Object.prototype.toString.call(value));
  }
  return {};
}

function clone(value, known) {
  if (typeof value === 'symbol' || typeof value === 'function') throw refuse(value);
  if (value === null || typeof value !== 'object') return value;
  if (known.has(value)) return known.get(value);
  if (value instanceof ArrayBuffer) return cloneBuffer(value, known);
  if (ArrayBuffer.isView(value)) {
    const buffer = cloneBuffer(value.buffer, known);
    const length = value instanceof DataView ? value.byteLength : value.length;
    const copy = new value.constructor(buffer, value.byteOffset, length);
    known.set(value, copy);
    return copy;
  }
  const copy = empty(value);
  known.set(value, copy);
  if (value instanceof Map) {
    for (const [key, held] of [...value]) copy.set(clone(key, known), clone(held, known));
  } else if (value instanceof Set) {
    for (const held of [...value]) copy.add(clone(held, known));
  } else if (value instanceof Error) {
    if (Object.hasOwn(value, 'cause')) {
      Object.defineProperty(copy, 'cause', { value: clone(value.cause, known), writable: true, configurable: true });
    }
  } else if (Array.isArray(value) || Object.prototype.toString.call(copy) === '[object Object]') {
    for (const key of Object.keys(value)) {
      // An assignment would make a field that is named __proto__ the prototype.
      const field = { value: clone(value[key], known), writable: true, enumerable: true, configurable: true };
      Object.defineProperty(copy, key, field);
    }
  }
  return copy;
}

export function structuredClone(value, options) {
  if (options?.transfer?.length > 0) {
    throw new DOMException('structuredClone copies here: it cannot transfer', 'DataCloneError');
  }
  return clone(value, new Map());
}
