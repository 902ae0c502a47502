// A host for tests under Node: clock and random numbers of Node, and an in-memory wasi:http with the engine's `wit`.

import { randomBytes } from 'node:crypto';

const { setTimeout, structuredClone } = globalThis;

// A stream or future as the engine has them: reads and writes meet.
class Channel {
  items = [];
  readers = [];
  isClosed = false;

  push(item) {
    const reader = this.readers.shift();
    if (reader) reader(item);
    else this.items.push(item);
  }

  close() {
    this.isClosed = true;
    for (const reader of this.readers.splice(0)) reader(undefined);
  }

  pull() {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    if (this.isClosed) return Promise.resolve(undefined);
    return new Promise((resolve) => this.readers.push(resolve));
  }
}

function makeStream() {
  const channel = new Channel();
  let rest = new Uint8Array();
  return {
    readable: {
      async read(count) {
        if (rest.length === 0) rest = (await channel.pull()) ?? new Uint8Array();
        const out = rest.slice(0, count);
        rest = rest.slice(out.length);
        return out;
      },
      async next() {
        const value = await this.read(65_536);
        return { value, done: value.length === 0 };
      },
      return: () => {
        channel.isDropped = true;
      },
    },
    writable: {
      async writeAll(bytes) {
        if (channel.isDropped) return 0;
        channel.push(bytes.slice());
        return bytes.length;
      },
      drop: () => channel.close(),
    },
  };
}

function makeFuture() {
  const channel = new Channel();
  return {
    readable: { read: () => channel.pull() },
    writable: {
      async write(value) {
        channel.push(value);
        return true;
      },
    },
  };
}

globalThis.wit = {
  Future: Object.assign(makeFuture, {
    types: { RESULT_OPTION_OTHER_ERROR_CODE: 0, RESULT_VOID_ERROR_CODE: 1, RESULT_VOID_WASI_HTTP_TYPES_ERROR_CODE: 2 },
    RESULT_OPTION_OTHER_ERROR_CODE: 0,
    RESULT_VOID_ERROR_CODE: 1,
    RESULT_VOID_WASI_HTTP_TYPES_ERROR_CODE: 2,
  }),
};

class Fields {
  static fromList(list) {
    if (list.some(([name]) => name === 'connection')) {
      throw Object.assign(new Error('x'), { payload: { tag: 'forbidden', val: null } });
    }
    const fields = new Fields();
    fields.list = list;
    return fields;
  }

  copyAll() {
    return this.list;
  }
}

class Message {
  static consumeBody(message) {
    return [message.contents ?? emptyStream(), message.trailers];
  }

  getHeaders() {
    return this.fields;
  }
}

function emptyStream() {
  const { readable, writable } = makeStream();
  writable.drop();
  return readable;
}

class Request extends Message {
  static new(fields, contents, trailers, options) {
    return [
      Object.assign(new Request(), {
        fields,
        contents: streamFrom(contents),
        trailers,
        options,
        method: { tag: 'get' },
      }),
      makeFuture().readable,
    ];
  }

  setMethod(method) {
    this.method = method;
  }

  setScheme(scheme) {
    this.scheme = scheme;
  }

  setAuthority(authority) {
    this.authority = authority;
  }

  setPathWithQuery(target) {
    this.target = target;
  }

  getMethod() {
    return this.method;
  }

  getScheme() {
    return this.scheme ?? null;
  }

  getAuthority() {
    return this.authority ?? null;
  }

  getPathWithQuery() {
    return this.target;
  }
}

class Response extends Message {
  static new(fields, contents, trailers) {
    return [
      Object.assign(new Response(), { fields, contents: streamFrom(contents), trailers, status: 200 }),
      makeFuture().readable,
    ];
  }

  setStatusCode(status) {
    this.status = status;
  }

  getStatusCode() {
    return this.status;
  }
}

class RequestOptions {
  setConnectTimeout(value) {
    this.connect = value;
  }

  setFirstByteTimeout(value) {
    this.firstByte = value;
  }
}

const latin1 = (text) => Uint8Array.from(Buffer.from(text, 'latin1'));

// The stream that the engine makes of an iterable.
function streamFrom(iterable) {
  if (iterable === null) return null;
  const { readable, writable } = makeStream();
  (async () => {
    for await (const item of iterable) if ((await writable.writeAll(item)) < item.length) break;
    writable.drop();
  })();
  return readable;
}

// A message with a body of these chunks. `ending` is the value of the future behind it.
function fill(message, { headers = {}, body = [], ending = { tag: 'ok', val: null } }) {
  const { readable, writable } = makeStream();
  const end = makeFuture();
  (async () => {
    for (const chunk of [body].flat()) {
      await writable.writeAll(typeof chunk === 'string' ? Uint8Array.from(Buffer.from(chunk)) : chunk);
    }
    writable.drop();
    await end.writable.write(ending);
  })();
  const list = Object.entries(headers).map(([name, value]) => [name, latin1(value)]);
  return Object.assign(message, { fields: Fields.fromList(list), contents: readable, trailers: end.readable });
}

export const lines = [];
export const slept = [];

export const host = {
  http: { Fields, Request, Response, RequestOptions },
  send: async () => {
    throw Object.assign(new Error('no answer is set'), { payload: { tag: 'HTTP-request-denied' } });
  },
  receipt: () => null,
  charge: () => {},
  randomBytes: (count) => Uint8Array.from(randomBytes(count)),
  nowNanoseconds: () => Number(process.hrtime.bigint()),
  waitNanoseconds: (nanoseconds) => {
    slept.push(nanoseconds);
    return new Promise((resolve) => setTimeout(resolve, nanoseconds / 1e6));
  },
  configValue: () => null,
  configValues: () => [],
  openBucket: () => {
    throw Object.assign(new Error('denied'), { payload: { tag: 'access-denied' } });
  },
  increment: () => 1,
  log: (bytes) => {
    lines.push(Buffer.from(bytes).toString());
  },
};

// A request as the host hands it to the handler.
export function incoming(target, { headers = {}, body, scheme = 'HTTPS', authority = 'pay.example' } = {}) {
  const [method, path] = target.split(' ');
  const request = fill(new Request(), { headers, body });
  const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method);
  request.setMethod(known ? { tag: method.toLowerCase() } : { tag: 'other', val: method });
  request.setScheme({ tag: scheme });
  request.setAuthority(authority);
  request.setPathWithQuery(path);
  return request;
}

// Answers `fetch` of the SDK: `reply(request)` returns { status, headers, body }, for a request that was read whole.
export function upstream(reply) {
  const seen = [];
  host.send = async (request) => {
    const read = await outcome(request);
    const asked = {
      method: request.method.tag === 'other' ? request.method.val : request.method.tag.toUpperCase(),
      url: `${request.scheme.tag.toLowerCase()}://${request.authority}${request.target}`,
      headers: read.headers,
      body: read.text,
      options: request.options,
    };
    seen.push(asked);
    const made = await reply(asked);
    const response = fill(new Response(), made);
    response.setStatusCode(made.status ?? 200);
    return response;
  };
  return seen;
}

// What the host reads of a message: status, headers, the text of the body, and how it ended.
export async function outcome(message) {
  const parts = [];
  if (message.contents) {
    for (;;) {
      const bytes = await message.contents.read(65_536);
      if (bytes.length === 0) break;
      parts.push(bytes);
    }
  }
  const ending = await message.trailers.read();
  const headers = Object.fromEntries(
    message.fields.list.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]),
  );
  const bytes = Buffer.concat(parts);
  return {
    status: message.status,
    headers,
    bytes,
    text: bytes.toString(),
    parts: parts.length,
    ending: structuredClone(ending),
  };
}
