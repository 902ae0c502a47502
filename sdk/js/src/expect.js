// Asserts in the shape that Jest and Vitest have made usual. A failure says what was expected and what was found.

import { inspect } from './web/inspect.js';

export class AssertionError extends Error {
  constructor(message, expected, actual) {
    super(message);
    this.expected = expected;
    this.actual = actual;
  }

  get name() {
    return 'AssertionError';
  }
}

const isObject = (value) => value !== null && typeof value === 'object';
const MATCHES = Symbol('matches');

// Whether two values are alike. `isPartial` lets `actual` have more properties than `expected`.
function isAlike(actual, expected, isPartial, isStrict, seen = new Map()) {
  if (isObject(expected) && expected[MATCHES]) return expected[MATCHES](actual);
  if (Object.is(actual, expected)) return true;
  if (!isObject(actual) || !isObject(expected)) return false;
  if (seen.get(actual) === expected) return true;
  seen.set(actual, expected);
  const same = (a, b) => isAlike(a, b, isPartial, isStrict, seen);
  if (isStrict && Object.getPrototypeOf(actual) !== Object.getPrototypeOf(expected)) return false;
  if (Array.isArray(actual) !== Array.isArray(expected)) return false;
  if (expected instanceof Date) return actual instanceof Date && Object.is(actual.getTime(), expected.getTime());
  if (expected instanceof RegExp) return actual instanceof RegExp && String(actual) === String(expected);
  if (expected instanceof Error) return actual instanceof Error && actual.message === expected.message;
  if (ArrayBuffer.isView(expected)) {
    return (
      ArrayBuffer.isView(actual) && actual.length === expected.length && [...expected].every((v, i) => v === actual[i])
    );
  }
  if (expected instanceof Map) {
    const isIn = ([key, value]) => actual.has(key) && same(actual.get(key), value);
    return actual instanceof Map && actual.size === expected.size && [...expected].every(isIn);
  }
  if (expected instanceof Set) {
    const isIn = (value) => [...actual].some((other) => isAlike(other, value, isPartial, isStrict));
    return actual instanceof Set && actual.size === expected.size && [...expected].every(isIn);
  }
  if (Array.isArray(expected)) return actual.length === expected.length && expected.every((v, i) => same(actual[i], v));
  const keysOf = (value) => Object.keys(value).filter((key) => isStrict || value[key] !== undefined);
  const keys = keysOf(expected);
  if (!isPartial && keysOf(actual).length !== keys.length) return false;
  return keys.every((key) => key in actual && same(actual[key], expected[key]));
}

const contains = (actual, item) => {
  if (typeof actual === 'string') return actual.includes(String(item));
  return [...actual].some((one) => Object.is(one, item));
};

const lengthOf = (value) => value?.length ?? value?.size;

function property(value, path) {
  const keys = Array.isArray(path) ? path : String(path).split('.');
  let at = value;
  for (const key of keys) {
    if (at === null || at === undefined || !(key in Object(at))) return { isThere: false };
    at = at[key];
  }
  return { isThere: true, value: at };
}

function isThrown(error, expected) {
  if (expected === undefined) return true;
  const message = error instanceof Error ? error.message : String(error);
  if (typeof expected === 'string') return message.includes(expected);
  if (expected instanceof RegExp) return expected.test(message);
  if (typeof expected === 'function') return error instanceof expected;
  return isAlike(error, expected, true);
}

// Each matcher: what it asks, and whether it holds.
const MATCHERS = {
  toBe: ['to be', (actual, expected) => Object.is(actual, expected)],
  toEqual: ['to equal', (actual, expected) => isAlike(actual, expected, false)],
  toStrictEqual: ['to equal strictly', (actual, expected) => isAlike(actual, expected, false, true)],
  toMatchObject: ['to match', (actual, expected) => isObject(actual) && isAlike(actual, expected, true)],
  toMatch: [
    'to match',
    (actual, pattern) => (pattern instanceof RegExp ? pattern.test(actual) : String(actual).includes(pattern)),
  ],
  toContain: ['to contain', contains],
  toContainEqual: ['to contain', (actual, item) => [...actual].some((one) => isAlike(one, item, false))],
  toHaveLength: ['to have the length', (actual, length) => lengthOf(actual) === length],
  toBeTruthy: ['to be truthy', Boolean],
  toBeFalsy: ['to be falsy', (actual) => !actual],
  toBeNull: ['to be null', (actual) => actual === null],
  toBeUndefined: ['to be undefined', (actual) => actual === undefined],
  toBeDefined: ['to be defined', (actual) => actual !== undefined],
  toBeNaN: ['to be NaN', (actual) => Number.isNaN(actual)],
  toBeGreaterThan: ['to be greater than', (actual, other) => actual > other],
  toBeGreaterThanOrEqual: ['to be at least', (actual, other) => actual >= other],
  toBeLessThan: ['to be less than', (actual, other) => actual < other],
  toBeLessThanOrEqual: ['to be at most', (actual, other) => actual <= other],
  toBeCloseTo: ['to be close to', (actual, other, digits = 2) => Math.abs(actual - other) < 10 ** -digits / 2],
  toBeInstanceOf: ['to be an instance of', (actual, type) => actual instanceof type],
  toBeTypeOf: ['to be of type', (actual, type) => typeof actual === type],
  toHaveProperty: [
    'to have the property',
    (actual, path, ...value) => {
      const found = property(actual, path);
      return found.isThere && (value.length === 0 || isAlike(found.value, value[0], false));
    },
  ],
  toSatisfy: ['to satisfy', (actual, test) => Boolean(test(actual))],
};

function makeMatchers(actual, isNegated, what = inspect(actual)) {
  const matchers = {};
  const verify = (holds, asks, expected) => {
    if (holds !== isNegated) return;
    const tail = expected.length === 0 ? '' : ` ${expected.map((value) => inspect(value)).join(', ')}`;
    throw new AssertionError(`expected ${what} ${isNegated ? 'not ' : ''}${asks}${tail}`, expected[0], actual);
  };
  for (const [name, [asks, holds]] of Object.entries(MATCHERS)) {
    matchers[name] = (...expected) => verify(Boolean(holds(actual, ...expected)), asks, expected);
  }
  matchers.toThrow = (expected) => {
    const isGiven = expected === undefined ? [] : [expected];
    if (typeof actual !== 'function') throw new TypeError('toThrow takes a function: expect(() => work()).toThrow()');
    let outcome = { isThrown: false };
    try {
      actual();
    } catch (error) {
      outcome = { isThrown: true, error };
    }
    if (!outcome.isThrown) return verify(false, 'to throw', isGiven);
    const asks = `to throw (it threw ${inspect(outcome.error?.message ?? outcome.error)})`;
    return verify(isThrown(outcome.error, expected), asks, isGiven);
  };
  matchers.toThrowError = matchers.toThrow;
  return matchers;
}

// The matchers of what a promise becomes. Each returns a promise.
function settled(actual, isNegated, wantsError) {
  const settle = async () => {
    try {
      const value = await (typeof actual === 'function' ? actual() : actual);
      if (!wantsError) return value;
      throw new AssertionError(`expected a rejection, and it resolved to ${inspect(value)}`, undefined, value);
    } catch (error) {
      if (wantsError && !(error instanceof AssertionError)) return error;
      throw error;
    }
  };
  const forward =
    (name) =>
    async (...expected) => {
      const value = await settle();
      const subject =
        name.startsWith('toThrow') && wantsError
          ? () => {
              throw value;
            }
          : value;
      return makeMatchers(subject, isNegated, inspect(value))[name](...expected);
    };
  return Object.fromEntries([...Object.keys(MATCHERS), 'toThrow', 'toThrowError'].map((name) => [name, forward(name)]));
}

export function expect(actual) {
  const negated = { ...makeMatchers(actual, true) };
  return {
    ...makeMatchers(actual, false),
    not: negated,
    resolves: { ...settled(actual, false, false), not: settled(actual, true, false) },
    rejects: { ...settled(actual, false, true), not: settled(actual, true, true) },
  };
}

const asymmetric = (matches, text) => ({ [MATCHES]: matches, toJSON: () => text });

expect.anything = () => asymmetric((value) => value !== null && value !== undefined, 'anything');
expect.any = (type) =>
  asymmetric((value) => value instanceof type || typeof value === type.name.toLowerCase(), `any ${type.name}`);
expect.stringContaining = (part) =>
  asymmetric((value) => typeof value === 'string' && value.includes(part), `text with ${part}`);
expect.stringMatching = (pattern) =>
  asymmetric((value) => typeof value === 'string' && new RegExp(pattern).test(value), `text like ${pattern}`);
expect.objectContaining = (part) => asymmetric((value) => isObject(value) && isAlike(value, part, true), 'an object');
expect.arrayContaining = (items) =>
  asymmetric(
    (value) => Array.isArray(value) && items.every((item) => value.some((one) => isAlike(one, item, false))),
    'an array',
  );
expect.fail = (message = 'failed') => {
  throw new AssertionError(message);
};
