// Writes any value as text for a log line, as Node's util.inspect does: types, nesting, cycles, errors with frames.

import { stackOf } from '../stack.js';

const DEPTH = 4;
const ENTRIES = 100;
const TEXT = 10_000;
const WIDTH = 100;

const quote = (text) => {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return mark + (mark === '"' ? escaped : escaped.replaceAll("'", "\\'")) + mark;
};

const keyText = (key) => {
  if (typeof key === 'symbol') return `[${String(key)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
};

function primitive(value) {
  if (typeof value === 'string') return quote(value.length > TEXT ? `${value.slice(0, TEXT)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (Object.is(value, -0)) return '-0';
  return String(value);
}

function laidOut(open, parts, close) {
  if (parts.length === 0) return open + close;
  const one = `${open} ${parts.join(', ')} ${close}`;
  if (one.length <= WIDTH && !one.includes('\n')) return one;
  const lines = parts.map((part) => `  ${part.replaceAll('\n', '\n  ')}`);
  return `${open}\n${lines.join(',\n')}\n${close}`;
}

function limited(items, write) {
  const parts = [];
  for (const item of items) {
    if (parts.length === ENTRIES) {
      parts.push('...');
      break;
    }
    parts.push(write(item));
  }
  return parts;
}

const className = (value) => {
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : undefined;
};

function errorText(error, inner) {
  const more = Object.keys(error).filter((key) => !['stack', 'message', 'name', 'cause'].includes(key));
  let text = stackOf(error);
  if (more.length > 0) {
    text += ` ${laidOut(
      '{',
      more.map((key) => `${keyText(key)}: ${inner(error[key])}`),
      '}',
    )}`;
  }
  if (error.cause !== undefined) text += `\n  [cause]: ${inner(error.cause).replaceAll('\n', '\n  ')}`;
  return text;
}

function properties(value, inner) {
  const keys = [...Object.keys(value), ...Object.getOwnPropertySymbols(value).filter((k) => isShown(value, k))];
  return limited(keys, (key) => {
    const { get, set, value: held } = Object.getOwnPropertyDescriptor(value, key) ?? {};
    if (get || set) return `${keyText(key)}: [Getter${get && set ? '/Setter' : ''}]`;
    return `${keyText(key)}: ${inner(held)}`;
  });
}

const isShown = (value, key) => Object.getOwnPropertyDescriptor(value, key).enumerable;

const bytesText = (bytes) => {
  const hex = Array.from(bytes.subarray(0, 32), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `Uint8Array(${bytes.length}) <${hex}${bytes.length > 32 ? ' ...' : ''}>`;
};

function objectText(value, inner) {
  const name = className(value);
  if (Array.isArray(value)) return laidOut('[', limited(value, inner), ']');
  if (value instanceof Uint8Array) return bytesText(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return laidOut(`${name}(${value.length}) [`, limited(value, inner), ']');
  }
  if (value instanceof ArrayBuffer) return `ArrayBuffer { ${bytesText(new Uint8Array(value))} }`;
  if (value instanceof Map) {
    return laidOut(
      `Map(${value.size}) {`,
      limited(value, ([k, v]) => `${inner(k)} => ${inner(v)}`),
      '}',
    );
  }
  if (value instanceof Set) return laidOut(`Set(${value.size}) {`, limited(value, inner), '}');
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Promise) return 'Promise';
  if (['String', 'Number', 'Boolean', 'Symbol', 'BigInt'].includes(name)) {
    return `[${name}: ${primitive(value.valueOf())}]`;
  }
  if (name === 'Headers' || name === 'URLSearchParams' || name === 'FormData') {
    return laidOut(
      `${name} {`,
      limited(value, ([k, v]) => `${keyText(k)}: ${inner(v)}`),
      '}',
    );
  }
  if (name === 'URL') return `URL ${quote(value.href)}`;
  if (name === 'Response') return `Response { status: ${value.status}, url: ${quote(value.url)} }`;
  if (name === 'Request') return `Request { method: ${quote(value.method)}, url: ${quote(value.url)} }`;
  const prefix = name === undefined ? '[Object: null prototype] ' : name === 'Object' ? '' : `${name} `;
  return laidOut(`${prefix}{`, properties(value, inner), '}');
}

export function inspect(value, depth = DEPTH, seen = []) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return primitive(value);
  if (typeof value === 'function') {
    const kind = /^class\b/.test(Function.prototype.toString.call(value)) ? 'class' : 'Function';
    return value.name ? `[${kind} ${value.name}]` : `[${kind} (anonymous)]`;
  }
  if (seen.includes(value)) return '[Circular]';
  const path = [...seen, value];
  const inner = (held) => inspect(held, depth - 1, path);
  try {
    if (value instanceof Error) return errorText(value, inner);
    if (depth < 0) return Array.isArray(value) ? '[Array]' : `[${className(value) ?? 'Object'}]`;
    return objectText(value, inner);
  } catch (error) {
    return `[${className(value) ?? 'Object'}: cannot be shown: ${error?.message}]`;
  }
}

// The text of a call such as console.log('%s is %d', name, 3, more).
export function format(args) {
  let rest = args;
  let text = '';
  if (typeof args[0] === 'string' && args.length > 1 && args[0].includes('%')) {
    rest = args.slice(1);
    text = args[0].replace(/%[sdifjoOc%]/g, (mark) => {
      if (mark === '%%') return '%';
      if (rest.length === 0) return mark;
      const value = rest.shift();
      switch (mark) {
        case '%s':
          return typeof value === 'string' ? value : inspect(value, 1);
        case '%d':
          return typeof value === 'bigint' ? `${value}n` : String(Number(value));
        case '%i':
          return String(Number.parseInt(value, 10));
        case '%f':
          return String(Number.parseFloat(value));
        case '%j':
          return JSON.stringify(value);
        case '%c':
          return '';
        default:
          return inspect(value);
      }
    });
    if (rest.length > 0) text += ' ';
  }
  return text + rest.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' ');
}
