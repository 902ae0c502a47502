// Makes a web Response from what a handler returned.

import { Refusal } from './refusal.js';
import { Blob } from './web/blob.js';
import { Response } from './web/body.js';
import { bytesOf, encodeUtf8 } from './web/encoding.js';
import { ReadableStream } from './web/streams.js';

const EVENTS = 'text/event-stream';
const LINES = /^application\/(x-ndjson|jsonl|json-seq|x-jsonlines)\b/;

const isEvents = (mimeType) => mimeType.startsWith(EVENTS);

function text(value) {
  return String(value).split(/\r\n|\r|\n/);
}

// One server-sent event (https://html.spec.whatwg.org/#server-sent-events). A value with any of the fields of an event
// is one; any other value is its data.
function eventText(value) {
  const isEvent =
    value !== null && typeof value === 'object' && ['data', 'event', 'id', 'retry', 'comment'].some((k) => k in value);
  const { event, data, id, retry, comment } = isEvent ? value : { data: value };
  let out = '';
  if (comment !== undefined) for (const line of text(comment)) out += `: ${line}\n`;
  if (event !== undefined) out += `event: ${text(event).join(' ')}\n`;
  if (id !== undefined) out += `id: ${text(id).join(' ')}\n`;
  if (retry !== undefined) out += `retry: ${Math.trunc(retry)}\n`;
  if (data !== undefined) {
    const whole = typeof data === 'string' ? data : JSON.stringify(data);
    for (const line of text(whole)) out += `data: ${line}\n`;
  }
  return `${out}\n`;
}

function chunkBytes(value, mimeType) {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return bytesOf(value);
  if (isEvents(mimeType)) return encodeUtf8(eventText(value));
  if (LINES.test(mimeType)) return encodeUtf8(`${JSON.stringify(value)}\n`);
  if (typeof value === 'string') return encodeUtf8(value);
  throw new TypeError(
    `a generator of ${mimeType} yields text or bytes, and not ${value === null ? 'null' : typeof value}: ` +
      `events are ${EVENTS}, and lines of JSON application/x-ndjson`,
  );
}

// The values of a generator as bytes. The first one is awaited, so that a refusal before it is still an answer.
async function generated(iterable, mimeType) {
  const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]();
  let ahead = await iterator.next();
  return ReadableStream.from({
    [Symbol.asyncIterator]: () => ({
      async next() {
        const { value, done } = ahead ?? (await iterator.next());
        ahead = undefined;
        return done ? { value: undefined, done } : { value: chunkBytes(await value, mimeType), done };
      },
      async return() {
        await iterator.return?.();
        return { value: undefined, done: true };
      },
    }),
  });
}

const isGenerator = (value) =>
  typeof value[Symbol.asyncIterator] === 'function' ||
  (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function');

function json(value) {
  const out = JSON.stringify(value);
  if (out === undefined) throw new TypeError(`the handler returned a ${typeof value}, which is no answer`);
  return out;
}

function withType(body, type) {
  return new Response(body, { headers: { 'content-type': type } });
}

export async function answer(endpoint, value) {
  const said = endpoint.saidMimeType;
  if (value === undefined) {
    throw new TypeError('the handler returned nothing: return text, a value, bytes or a Response, or null for 404');
  }
  if (value === null) throw new Refusal(404, 'not_found', 'there is nothing here');
  if (value instanceof Response) {
    if (value.body !== null && value.status < 400 && !value.headers.has('content-type')) {
      value.headers.set('content-type', endpoint.mimeType);
    }
    return value;
  }
  if (typeof value === 'string') return withType(value, said ?? 'text/plain; charset=utf-8');
  if (typeof value !== 'object') return withType(json(value), said ?? 'application/json');
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return withType(value, said ?? 'application/octet-stream');
  if (value instanceof Blob) return withType(value, said ?? (value.type || 'application/octet-stream'));
  if (value instanceof ReadableStream) return withType(value, said ?? 'application/octet-stream');
  if (isGenerator(value)) {
    const type = said ?? EVENTS;
    const response = withType(await generated(value, type), type);
    if (isEvents(type)) response.headers.set('cache-control', 'no-cache');
    return response;
  }
  return withType(json(value), said ?? 'application/json');
}

export function refusalResponse(refusal) {
  const headers = { 'content-type': 'application/json', ...refusal.headers };
  return new Response(JSON.stringify(refusal.body()), { status: refusal.status, headers });
}
