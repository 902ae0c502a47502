// Implements console: every line goes to the plugin's stderr, which the host adds to its log.

import { host } from '../host.js';
import { stackOf } from '../stack.js';
import { encodeUtf8 } from './encoding.js';
import { format, inspect } from './inspect.js';

let indent = '';
const counts = new Map();
const started = new Map();

function print(args) {
  const text = format(args);
  host.log(encodeUtf8(`${indent}${text.replaceAll('\n', `\n${indent}`)}\n`));
}

const levels = Object.fromEntries(
  ['log', 'info', 'debug', 'warn', 'error'].map((level) => [level, (...args) => print(args)]),
);

function table(rows) {
  if (rows === null || typeof rows !== 'object') return print([rows]);
  for (const [key, row] of Object.entries(rows)) print([`${key}  ${inspect(row, 1)}`]);
  return undefined;
}

export const console = {
  ...levels,
  dir: (value) => print([inspect(value)]),
  dirxml: (...args) => print(args),
  table,
  trace: (...args) => print([`${stackOf(Object.assign(new Error(format(args)), { name: 'Trace' }))}`]),
  assert(isTrue, ...args) {
    if (isTrue) return;
    print(args.length === 0 ? ['Assertion failed'] : ['Assertion failed:', ...args]);
  },
  group(...args) {
    if (args.length > 0) print(args);
    indent += '  ';
  },
  groupCollapsed(...args) {
    console.group(...args);
  },
  groupEnd() {
    indent = indent.slice(2);
  },
  count(label = 'default') {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    print([`${label}: ${counts.get(label)}`]);
  },
  countReset(label = 'default') {
    counts.delete(label);
  },
  time(label = 'default') {
    started.set(label, host.nowNanoseconds());
  },
  timeLog(label = 'default', ...args) {
    if (!started.has(label)) return;
    print([`${label}: ${((host.nowNanoseconds() - started.get(label)) / 1e6).toFixed(3)} ms`, ...args]);
  },
  timeEnd(label = 'default') {
    console.timeLog(label);
    started.delete(label);
  },
  clear() {},
};
