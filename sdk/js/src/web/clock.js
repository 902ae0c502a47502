// Guards what a snapshot would freeze: the clock and random numbers. While the plugin is built they are refused, and a
// package that reads the clock while it is loaded reads the beginning of 1970. Later
// `Date` is the engine's, and `Math.random` starts from the host's random numbers once in each instance.

import { host } from '../host.js';
import { refuseClockInBuild, refuseInBuild } from '../phase.js';
import { asBytes } from './encoding.js';

const NativeDate = globalThis.Date;

function GuardedDate(...args) {
  if (!new.target) {
    return refuseClockInBuild('Date()') ? new NativeDate(0).toString() : NativeDate();
  }
  const given = args.length === 0 && refuseClockInBuild('new Date() without an argument') ? [0] : args;
  return Reflect.construct(NativeDate, given, new.target === GuardedDate ? NativeDate : new.target);
}
GuardedDate.prototype = NativeDate.prototype;
Object.defineProperties(GuardedDate, {
  name: { value: 'Date' },
  length: { value: 7 },
  UTC: { value: NativeDate.UTC, writable: true, configurable: true },
  parse: { value: NativeDate.parse, writable: true, configurable: true },
  now: {
    value: function now() {
      return refuseClockInBuild('Date.now()') ? 0 : NativeDate.now();
    },
    writable: true,
    configurable: true,
  },
});

export function guardDate() {
  Object.defineProperty(NativeDate.prototype, 'constructor', {
    value: GuardedDate,
    writable: true,
    configurable: true,
  });
  return GuardedDate;
}

// xoshiro128** of Blackman and Vigna. It is quick and even, and no source of secrets, as everywhere in JavaScript.
let state;

function next() {
  const rotate = (x, k) => (x << k) | (x >>> (32 - k));
  const out = Math.imul(rotate(Math.imul(state[1], 5), 7), 9);
  const shifted = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotate(state[3], 11);
  return out >>> 0;
}

export function random() {
  if (!state) {
    refuseInBuild('Math.random()');
    state = new Int32Array(asBytes(host.randomBytes(16)).slice().buffer);
    state[0] |= 1;
  }
  return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 2 ** 53;
}

let origin;

function sinceOrigin() {
  const now = host.nowNanoseconds();
  origin ??= { monotonic: now, wall: NativeDate.now() };
  return (now - origin.monotonic) / 1e6;
}

export const performance = {
  now() {
    return refuseClockInBuild('performance.now()') ? 0 : sinceOrigin();
  },
  get timeOrigin() {
    if (refuseClockInBuild('performance.timeOrigin')) return 0;
    sinceOrigin();
    return origin.wall;
  },
  mark() {},
  measure() {},
  toJSON: () => ({ timeOrigin: performance.timeOrigin }),
};
