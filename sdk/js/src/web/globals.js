// Puts the web platform into the global scope. The first module of the SDK imports this, so that a plugin and its
// libraries find it when they are evaluated.

import { atob, btoa } from './base64.js';
import { Blob, File, FormData } from './blob.js';
import { Request, Response } from './body.js';
import { structuredClone } from './clone.js';
import { guardDate, performance, random } from './clock.js';
import { console } from './console.js';
import { crypto, CryptoKey, SubtleCrypto } from './crypto.js';
import { TextDecoder, TextEncoder } from './encoding.js';
import { TextDecoderStream, TextEncoderStream } from './encoding-streams.js';
import { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget } from './events.js';
import { fetch } from './fetch.js';
import { Headers } from './headers.js';
import { parseJson } from './json.js';
import * as streams from './streams.js';
import * as timers from './timers.js';
import { URL, URLSearchParams } from './url.js';

const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate, queueMicrotask } = timers;
const { ReadableStream, ReadableStreamDefaultReader, ReadableStreamDefaultController } = streams;
const { WritableStream, WritableStreamDefaultWriter, TransformStream } = streams;
const { CountQueuingStrategy, ByteLengthQueuingStrategy } = streams;

export const globals = {
  AbortController,
  AbortSignal,
  Blob,
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  CryptoKey,
  CustomEvent,
  DOMException,
  Event,
  EventTarget,
  File,
  FormData,
  Headers,
  ReadableStream,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  Request,
  Response,
  SubtleCrypto,
  TextDecoder,
  TextDecoderStream,
  TextEncoder,
  TextEncoderStream,
  TransformStream,
  URL,
  URLSearchParams,
  WritableStream,
  WritableStreamDefaultWriter,
  clearImmediate,
  clearInterval,
  clearTimeout,
  console,
  crypto,
  fetch,
  performance,
  queueMicrotask,
  setImmediate,
  setInterval,
  setTimeout,
  structuredClone,
};

// What the engine has itself is quicker, and stays.
const otherwise = { atob, btoa, self: globalThis };

const define = (name, value) =>
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });

export function install() {
  for (const [name, value] of Object.entries(globals)) define(name, value);
  for (const [name, value] of Object.entries(otherwise)) if (!(name in globalThis)) define(name, value);
  define('Date', guardDate());
  Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true });
  Object.defineProperty(JSON, 'parse', { value: parseJson, writable: true, configurable: true });
}
