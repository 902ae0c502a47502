// Exports the component's interfaces: `manifest` and `quote` of coinslot:plugin, and `handler` of wasi:http.

// First the global scope, which the plugin's libraries need, then the plugin, which may await at its top level.
import './coinslot.js';
import 'coinslot:entry';

import { info } from './info.js';
import { endpoints } from './endpoint.js';
import { host } from './host.js';
import { makeManifest } from './manifest.js';
import { leaveBuild } from './phase.js';
import { Refusal } from './refusal.js';
import { failed, price, report, serve } from './serve.js';
import { failureText } from './stack.js';
import { latin1, makeResponse, readBody, readFields, readMethod } from './wasi-http.js';
import { join } from './web/blob.js';
import { Request, WHOLE } from './web/body.js';
import { asBytes } from './web/encoding.js';
import { Headers } from './web/headers.js';
import { beginRequest } from './web/timers.js';

const made = makeManifest();

export const manifest = {
  describe() {
    leaveBuild();
    info.onLoad?.();
    return made;
  },
};

// The engine makes the refusal of the contract from the thrown error's `payload`.
class QuoteRefused extends Error {
  constructor({ status, code, message, more }) {
    super(message);
    const facts = ['pointer', 'code'].filter((name) => typeof more[name] === 'string' && more[name] !== '');
    this.payload = { status, code, message, extensions: facts.map((name) => [name, more[name]]) };
  }
}

export const quote = {
  quote({ method, route, params, query, headers, body }) {
    leaveBuild();
    const endpoint = endpoints.find((one) => one.method === method && one.path === route);
    try {
      const fields = new Headers(headers.map(([name, value]) => [name, latin1(value)]));
      const found = price(endpoint, { params, query, headers: fields, bytes: asBytes(body) });
      return { price: found, extensions: [] };
    } catch (error) {
      if (error instanceof Refusal && error.status < 500) throw new QuoteRefused(error);
      report(`the quote of ${method} ${route}`, error);
      // The contract has no other failure than a trap, whose text is the engine's. The host reads this one's first line.
      throw new QuoteRefused({ status: 500, code: 'plugin_failed', message: failureText(error), more: {} });
    }
  },
};

// The bytes of a whole body.
async function readWhole(request) {
  const parts = [new Uint8Array()];
  try {
    for await (const part of readBody('Request', request)) parts.push(part);
  } catch {
    throw new Refusal(400, 'incomplete_body', 'the body ended before it was complete; send it again');
  }
  return join(parts);
}

// The request of the host as `serve` takes it.
function rawRequest(request) {
  const target = request.getPathWithQuery() ?? '/';
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? null : target.slice(mark + 1);
  const method = readMethod(request.getMethod());
  const headers = readFields(request.getHeaders());
  const scheme = request.getScheme()?.tag === 'HTTPS' ? 'https' : 'http';
  const authority =
    request.getAuthority() ?? headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? 'localhost';
  const hasBody = method !== 'GET' && method !== 'HEAD';
  return {
    method,
    path,
    query,
    headers,
    receipt: () => host.receipt() ?? undefined,
    bytes: () => readWhole(request),
    request(bytes) {
      const body = hasBody ? (bytes ?? readBody('Request', request)) : undefined;
      return new Request(`${scheme}://${authority}${target}`, { method, headers, body });
    },
  };
}

// The host's response of a web response. `onEnd` is called when its body is complete.
function outgoing({ at, response }, isHead, onEnd) {
  const whole = response[WHOLE]();
  const chunks = isHead ? null : (whole ?? response.body);
  const onFailure = (error) => report(`${at}, after its first bytes,`, error);
  return makeResponse(response.status, response.headers, chunks, onEnd, onFailure);
}

export const handler = {
  async handle(request) {
    leaveBuild();
    const complete = beginRequest();
    const raw = rawRequest(request);
    const served = await serve(raw);
    const isHead = raw.method === 'HEAD';
    try {
      return outgoing(served, isHead, complete);
    } catch (error) {
      return outgoing({ at: served.at, response: failed(served.at, error) }, isHead, complete);
    }
  },
};
