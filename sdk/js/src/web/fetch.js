// Implements fetch over the host's HTTP client. The operator allows origins, and the host adds secrets to requests.

import { host } from '../host.js';
import { table } from '../info.js';
import { refuseOutsideHandler } from '../phase.js';
import { describe, makeFields, makeMethod, readBody, readFields, sendBody } from '../wasi-http.js';
import { CONTENT, RECEIVED, Request, Response, WHOLE } from './body.js';
import { unlessAborted } from './events.js';
import { Headers } from './headers.js';
import { URL } from './url.js';

const MAX_REDIRECTS = 20;
const REDIRECTS = [301, 302, 303, 307, 308];
// What describes a body, and goes with it.
const BODY_HEADERS = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-location'];

function failure(request, reason, code) {
  const error = new TypeError(`fetch ${request.method} ${request.url} failed: ${reason}`);
  if (code !== undefined) error.cause = code;
  return error;
}

const ADVICE = {
  'HTTP-request-denied': (origin) => `the operator has not allowed this origin: ${table()} http = ["${origin}"]`,
  'destination-IP-prohibited': (origin) =>
    `the address is private, and the operator has not allowed it: ${table()} http = [{ origin = "${origin}", private = true }]`,
};

function reasonOf(code, url) {
  const advice = ADVICE[code?.tag];
  return advice ? `${describe(code)}: ${advice(url.origin)}` : describe(code);
}

function requestOptions(signal) {
  if (signal.milliseconds === undefined) return null;
  const options = new host.http.RequestOptions();
  const nanoseconds = Math.max(1, Math.round(signal.milliseconds * 1e6));
  try {
    options.setConnectTimeout(nanoseconds);
    options.setFirstByteTimeout(nanoseconds);
  } catch {
    // A host need not support these. The signal itself still ends the wait.
  }
  return options;
}

async function send(request, body) {
  const url = new URL(request.url);
  const { contents, trailers } = sendBody(body);
  const [outgoing] = host.http.Request.new(
    makeFields(request.headers),
    contents,
    trailers,
    requestOptions(request.signal),
  );
  outgoing.setMethod(makeMethod(request.method));
  outgoing.setScheme(url.protocol === 'https:' ? { tag: 'HTTPS' } : { tag: 'HTTP' });
  outgoing.setAuthority(url.host);
  outgoing.setPathWithQuery(url.pathname + url.search);
  let incoming;
  try {
    incoming = await unlessAborted(request.signal, host.send(outgoing));
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    const code = error?.payload ?? error;
    throw failure(request, reasonOf(code, url), code);
  }
  return incoming;
}

function received(request, incoming, redirected) {
  const status = incoming.getStatusCode();
  const response = new Response(null, { status, headers: readFields(incoming.getHeaders()) });
  if (![204, 205, 304].includes(status) && request.method !== 'HEAD') {
    const stream = readBody('Response', incoming, request.signal);
    response[CONTENT]({ bytes: null, stream });
  }
  return response[RECEIVED]({ url: new URL(request.url).href, redirected, type: 'basic' });
}

// The request that follows a redirect, as browsers make it.
function redirected(request, status, location) {
  const to = new URL(location, request.url);
  if (!/^https?:$/.test(to.protocol)) throw failure(request, `it redirects to ${to.href}, which is not HTTP`);
  const from = new URL(request.url);
  if (to.hash === '') to.hash = from.hash;
  const headers = new Headers(request.headers);
  let { method } = request;
  const becomesGet = (status === 303 && method !== 'HEAD') || ([301, 302].includes(status) && method === 'POST');
  if (becomesGet) {
    method = 'GET';
    for (const name of BODY_HEADERS) headers.delete(name);
  }
  if (to.origin !== from.origin) for (const name of ['authorization', 'cookie', 'host']) headers.delete(name);
  const next = new Request(to.href, { method, headers, signal: request.signal, redirect: request.redirect });
  return { next, keepsBody: !becomesGet };
}

export async function fetch(input, init) {
  refuseOutsideHandler('fetch');
  let request = new Request(input, init);
  if (!/^https?:/.test(request.url)) throw failure(request, 'only http and https can be fetched');
  request.signal.throwIfAborted();
  let body = request[WHOLE]() ?? request.body;
  for (let hops = 0; ; hops++) {
    const incoming = await send(request, body);
    const response = received(request, incoming, hops > 0);
    const location = response.headers.get('location');
    if (!REDIRECTS.includes(response.status) || location === null || request.redirect === 'manual') return response;
    await response.body?.cancel();
    if (request.redirect === 'error') throw failure(request, `it redirects to ${location}, and redirect is 'error'`);
    if (hops === MAX_REDIRECTS) throw failure(request, `it redirects more than ${MAX_REDIRECTS} times`);
    const { next, keepsBody } = redirected(request, response.status, location);
    if (!keepsBody) body = null;
    if (body !== null && !(body instanceof Uint8Array)) {
      throw failure(request, 'it redirects, and a body that is a stream cannot be sent twice');
    }
    request = next;
  }
}
