// Simulates the host in tests of a plugin: payment, configuration, key-value store, log and other servers, in memory.

import { isAmount } from './endpoint.js';
import { host } from './host.js';
import { Request } from './web/body.js';
import { decodeUtf8, encodeUtf8 } from './web/encoding.js';

// The simulated host of the test that runs. Each test starts with an empty one.
export let simulated;

function emptyHost() {
  return { config: {}, buckets: new Map(), fetch: undefined, receipt: undefined, most: undefined, log: '' };
}

// Answers a request of a test that has set no answers.
function unanswered() {
  throw new TypeError(
    'a test reaches no network: say what the other side answers with mockFetch((request) => new Response(..))',
  );
}

// A bucket of the test that runs: a handle outlives its test.
function bucketOf(name) {
  const keys = () => {
    if (!simulated.buckets.has(name)) simulated.buckets.set(name, new Map());
    return simulated.buckets.get(name);
  };
  return {
    get: (key) => keys().get(key) ?? null,
    set: (key, value) => void keys().set(key, value.slice()),
    delete: (key) => void keys().delete(key),
    exists: (key) => keys().has(key),
    listKeys: () => ({ keys: [...keys().keys()].sort(), cursor: null }),
  };
}

function increment(bucket, key, by) {
  const bytes = bucket.get(key);
  const sum = by + (bytes === null ? 0 : Number(decodeUtf8(bytes)));
  bucket.set(key, encodeUtf8(String(sum)));
  return sum;
}

function compareAndSwap(bucket, key, expected, value) {
  const held = bucket.get(key);
  const isSame = held === null || expected === null ? held === expected : String(held) === String(expected);
  if (!isSame) return false;
  if (value === null) bucket.delete(key);
  else bucket.set(key, value);
  return true;
}

// True if an amount is more of the same unit. Amounts of two units cannot be compared, and none is read as a
// floating-point number.
function isAbove(amount, other) {
  const [one, two] = [amount, other].map((text) => {
    const [number, unit] = text.split(' ');
    const [whole, fraction = ''] = number.split('.');
    return { whole: whole.replace(/^0+/, ''), fraction: fraction.replace(/0+$/, ''), unit };
  });
  if (one.unit !== two.unit) return false;
  if (one.whole.length !== two.whole.length) return one.whole.length > two.whole.length;
  return one.whole === two.whole ? one.fraction > two.fraction : one.whole > two.whole;
}

function charge(amount) {
  if (!isAmount(amount)) throw new Error("it is not an amount: write digits, and a dot if needed: '0.01'");
  if (simulated.most === undefined) throw new Error('the request is not metered: declare its price with `upTo`');
  if (isAbove(amount, simulated.most))
    throw new Error(`${amount} is more than the ${simulated.most} that the caller has authorised`);
  simulated.charged = amount;
}

// Puts a simulated host in the place of the host. Returns a function that puts the host back.
export function enter() {
  simulated = emptyHost();
  const real = { ...host };
  const realFetch = globalThis.fetch;
  Object.assign(host, {
    receipt: () => simulated.receipt ?? null,
    charge,
    configValue: (key) => simulated.config[key] ?? null,
    configValues: () => Object.entries(simulated.config),
    openBucket: bucketOf,
    increment,
    compareAndSwap,
    log: (bytes) => {
      simulated.log += decodeUtf8(bytes);
      real.log(bytes);
    },
  });
  globalThis.fetch = async (input, init) => (simulated.fetch ?? unanswered)(new Request(input, init));
  return () => {
    Object.assign(host, real);
    globalThis.fetch = realFetch;
  };
}
