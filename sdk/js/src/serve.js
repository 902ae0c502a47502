// Runs an endpoint: its price before a payment, and its answer after one.

import { answer, refusalResponse } from './answer.js';
import { config } from './coinslot.js';
import { isAmount } from './endpoint.js';
import { host } from './host.js';
import { readInput, readsBody, route } from './input.js';
import { inQuote } from './phase.js';
import { Refusal } from './refusal.js';
import { failureText } from './stack.js';
import { encodeUtf8 } from './web/encoding.js';
import { Headers } from './web/headers.js';

// Tells a failure to the operator and to the author, in one log line with the author's place.
export function report(at, error) {
  host.log(encodeUtf8(`${at} failed: ${failureText(error)}\n`));
}

const INTERNAL = ['plugin_failed', 'the plugin failed; its operator can read the reason in the log'];

// Tells the host that an answer of status 500 stands for an error that the code does not handle.
const FAILED = 'x-coinslot-failed';

// The answer to an error: that of a refusal, or 500 for what is the plugin's fault, which is reported.
export function failed(at, error) {
  if (error instanceof Refusal) return refusalResponse(error);
  report(at, error);
  const response = refusalResponse(new Refusal(500, ...INTERNAL));
  response.headers.set(FAILED, '1');
  return response;
}

function notAwaited(endpoint, what, value) {
  if (typeof value?.then !== 'function') return value;
  value.then(undefined, () => {});
  throw new TypeError(`${what} of ${endpoint.at} is asynchronous: the host asks before the payment, and does not wait`);
}

function quotedPrice(endpoint, input) {
  const { price } = endpoint;
  if (price.tag === 'free') return { tag: 'free' };
  if (price.tag !== 'quoted') return { tag: 'amount', val: price.val };
  const value = notAwaited(endpoint, 'quote', endpoint.quote(input));
  if (value === 'free') return { tag: 'free' };
  if (typeof value === 'number') {
    throw new TypeError(`quote of ${endpoint.at} returned the number ${value}: return text, as (${value}).toFixed(6)`);
  }
  if (typeof value !== 'string' || !isAmount(value)) {
    throw new TypeError(
      `quote of ${endpoint.at} returned ${JSON.stringify(value)}: return an amount such as '0.02', or 'free'`,
    );
  }
  // Zero is no price that a host could ask for.
  return /^[0.]+( |$)/.test(value) ? { tag: 'free' } : { tag: 'amount', val: value };
}

// The price of a request, or a thrown Refusal. Any other error is the plugin's fault.
export function price(endpoint, { params, query, headers, bytes }) {
  return inQuote(() => {
    const input = readInput(endpoint, { params, query, headers, bytes });
    const seen = { ...input, headers, method: endpoint.method, route: endpoint.path };
    if (endpoint.check) notAwaited(endpoint, 'check', endpoint.check(seen));
    return quotedPrice(endpoint, seen);
  });
}

// Answers a request. `raw` has method, path, query, headers (pairs), `bytes()` that reads the whole body, and
// `request(bytes)` that makes the web Request, of these bytes if they were read. Never throws.
export async function serve(raw) {
  let at = `${raw.method} ${raw.path}`;
  try {
    const { endpoint, params } = route(raw.method, raw.path);
    at = endpoint.at;
    const headers = new Headers(raw.headers);
    const bytes = readsBody(endpoint) ? await raw.bytes() : undefined;
    const input = readInput(endpoint, { params, query: raw.query, headers, bytes });
    endpoint.check?.({ ...input, headers, method: endpoint.method, route: endpoint.path });
    let request;
    const context = {
      ...input,
      headers,
      config,
      receipt: raw.receipt(),
      get request() {
        request ??= raw.request(bytes);
        return request;
      },
    };
    return { at, response: await answer(endpoint, await endpoint.handler(context)) };
  } catch (error) {
    return { at, response: failed(at, error) };
  }
}
