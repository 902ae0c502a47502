// Implements setTimeout, setInterval, clearTimeout and clearInterval on the host's clock.
//
// The host ends a request's task only when no wait is left, and a wait cannot be given back. So one loop serves all
// timers and waits in slices, which grow with the time that it has waited: a timer that is cleared holds the task for
// a small part of the time that it has taken already. What is left when no request is being answered is dropped.

import { host } from '../host.js';
import { refuseInBuild } from '../phase.js';

const SHORTEST_SLICE = 1_000_000; // nanoseconds
const LONGEST_SLICE = 50_000_000;
const SLICE_PART = 0.15; // of the time waited so far
const LONGEST = 2 ** 31 - 1; // milliseconds

const timers = new Map();
let lastId = 0;
// The loop that waits. One of an earlier request ends at its next turn.
let waiting;

function milliseconds(delay) {
  const value = Math.trunc(Number(delay)) || 0;
  return value < 1 || value > LONGEST ? 1 : value;
}

function add(delay, every, run) {
  const id = ++lastId;
  timers.set(id, { due: host.nowNanoseconds() + milliseconds(delay) * 1e6, every, run });
  wait();
  return id;
}

async function wait() {
  if (waiting) return;
  const mine = {};
  waiting = mine;
  const begun = host.nowNanoseconds();
  while (timers.size > 0 && waiting === mine) {
    const now = host.nowNanoseconds();
    const next = Math.min(...[...timers.values()].map(({ due }) => due));
    const slice = Math.min(Math.max((now - begun) * SLICE_PART, SHORTEST_SLICE), LONGEST_SLICE);
    if (next > now) await host.waitNanoseconds(Math.ceil(Math.min(next - now, slice)));
    if (waiting === mine) await runDue();
  }
  if (waiting === mine) waiting = undefined;
}

// Runs the timers that are due, in their order, and lets the promises of each settle before the next one.
async function runDue() {
  const now = host.nowNanoseconds();
  const due = [...timers].filter(([, timer]) => timer.due <= now).sort(([a, x], [b, y]) => x.due - y.due || a - b);
  for (const [id, timer] of due) {
    if (timers.get(id) !== timer) continue;
    if (timer.every === undefined) timers.delete(id);
    else timer.due = now + milliseconds(timer.every) * 1e6;
    try {
      timer.run();
    } catch (error) {
      console.error(error);
    }
    await undefined;
  }
}

let requests = 0;

// Counts a request that is being answered. Returns the function to call when its answer is complete.
export function beginRequest() {
  requests++;
  return () => {
    if (--requests > 0) return;
    timers.clear();
    waiting = undefined;
  };
}

// Runs `run` after some milliseconds. Returns the id for `clearTimeout`.
export function after(delay, run) {
  refuseInBuild('a timer');
  return add(delay, undefined, run);
}

function checked(name, run) {
  if (typeof run !== 'function') throw new TypeError(`${name} takes a function`);
  refuseInBuild(name);
}

export function setTimeout(run, delay, ...args) {
  checked('setTimeout', run);
  return add(delay, undefined, () => run(...args));
}

export function setInterval(run, delay, ...args) {
  checked('setInterval', run);
  return add(delay, delay ?? 0, () => run(...args));
}

export function clearTimeout(id) {
  timers.delete(Number(id));
}

export const clearInterval = clearTimeout;

export function setImmediate(run, ...args) {
  return setTimeout(run, 0, ...args);
}

export const clearImmediate = clearTimeout;

export function queueMicrotask(run) {
  if (typeof run !== 'function') throw new TypeError('queueMicrotask takes a function');
  Promise.resolve()
    .then(() => run())
    .catch((error) => console.error(error));
}
