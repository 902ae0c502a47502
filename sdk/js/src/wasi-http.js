// Converts between the web's requests and responses and those of wasi:http 0.3.

import { host } from './host.js';
import { asBytes, encodeUtf8 } from './web/encoding.js';
import { unlessAborted } from './web/events.js';
import { ReadableStream } from './web/streams.js';

// The engine numbers the types of streams and futures, and names them after the WIT. Where two interfaces have an
// `error-code` the names carry the interface.
function futureType(start) {
  const names = Object.keys(wit.Future.types).filter((name) => name.startsWith(start) && name.includes('ERROR_CODE'));
  const name = names.find((candidate) => candidate.includes('HTTP')) ?? names[0];
  if (name === undefined) throw new Error(`the runtime has no future of type ${start}`);
  return wit.Future[name];
}

function future(start, value) {
  const { readable, writable } = wit.Future(futureType(start));
  if (value !== undefined) writable.write(value);
  return { readable, writable };
}

const received = () => future('RESULT_VOID', { tag: 'ok', val: null }).readable;

// The text of a header's value: each byte is a character, for the quote as for the handler.
export const latin1 = (bytes) => String.fromCharCode.apply(null, asBytes(bytes));

function latin1Bytes(text) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

export const readFields = (fields) => fields.copyAll().map(([name, value]) => [name, latin1(value)]);

export function makeFields(headers) {
  const list = [...headers].map(([name, value]) => [name, latin1Bytes(value)]);
  try {
    return host.http.Fields.fromList(list);
  } catch (error) {
    const names = list.map(([name]) => name).join(', ');
    throw new TypeError(`the host refuses one of the header fields ${names}: ${describe(error?.payload ?? error)}`);
  }
}

// The body of a request or a response as a web stream, which a signal can end.
export function readBody(kind, resource, signal) {
  let stream;
  let ending;
  const open = () => {
    if (!stream) [stream, ending] = host.http[kind].consumeBody(resource, received());
    return stream;
  };
  const next = async () => {
    const reading = open().next();
    if (!signal) return reading;
    try {
      return await unlessAborted(signal, reading);
    } catch (error) {
      stream.return();
      throw error;
    }
  };
  return new ReadableStream(
    {
      async pull(controller) {
        for (;;) {
          const { value, done } = await next();
          if (done) break;
          if (value.length === 0) continue;
          controller.enqueue(value);
          return;
        }
        const end = await ending.read();
        if (end.tag === 'err') throw new TypeError(`the body was cut off: ${describe(end.val)}`);
        controller.close();
      },
      cancel() {
        stream?.return();
      },
    },
    { highWaterMark: 0 },
  );
}

// A body to be sent: what the host reads, and the future of its end. `chunks` is null, bytes, or an async iterable of
// bytes. A failure of the iterable ends the body as cut off, and is given to `onFailure`.
// `onEnd` is called in any case.
//
// The engine makes the stream of an iterable itself. It knows which of its types of streams the call takes, while no
// name tells them apart.
export function sendBody(chunks, onEnd = () => {}, onFailure = () => {}) {
  const { readable: trailers, writable } = future('RESULT_OPTION');
  const end = (result) => {
    writable.write(result).catch(() => {});
    onEnd();
  };
  if (chunks === null) {
    end({ tag: 'ok', val: null });
    return { contents: null, trailers };
  }
  return { contents: bodyOf(chunks, end, onFailure), trailers };
}

async function* bodyOf(chunks, end, onFailure) {
  let result = { tag: 'ok', val: null };
  try {
    if (chunks instanceof Uint8Array) {
      if (chunks.length > 0) yield chunks;
      return;
    }
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? encodeUtf8(chunk) : chunk;
      if (!(bytes instanceof Uint8Array)) throw new TypeError('a chunk of a body is a Uint8Array or a string');
      if (bytes.length > 0) yield bytes;
    }
  } catch (error) {
    onFailure(error);
    result = { tag: 'err', val: { tag: 'internal-error', val: String(error?.message ?? error).slice(0, 200) } };
  } finally {
    end(result);
  }
}

export function makeResponse(status, headers, chunks, onEnd, onFailure) {
  const fields = makeFields(headers);
  const { contents, trailers } = sendBody(chunks, onEnd, onFailure);
  const [response] = host.http.Response.new(fields, contents, trailers);
  response.setStatusCode(status);
  return response;
}

const METHODS = ['get', 'head', 'post', 'put', 'delete', 'connect', 'options', 'trace', 'patch'];

export function makeMethod(method) {
  const tag = method.toLowerCase();
  return METHODS.includes(tag) ? { tag } : { tag: 'other', val: method };
}

export const readMethod = (method) => (method.tag === 'other' ? method.val : method.tag.toUpperCase());

// What an error code of wasi:http says, in words.
export function describe(code) {
  const { tag, val } = code ?? {};
  const words = String(tag ?? code).replaceAll('-', ' ');
  if (val === null || val === undefined) return words;
  return `${words} (${typeof val === 'object' ? JSON.stringify(val) : val})`;
}
