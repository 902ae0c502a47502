// Parses path templates by the grammar of `endpoint.path` in wit/plugin.wit, matches paths, and finds the most
// specific template. tests/fixtures/path-templates.txt has the cases on which the host and every SDK agree.

const MAX_BYTES = 512;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const LITERAL = /[^A-Za-z0-9\-._~!$&'()+,;=:@]/u;

function parseSegment(part, isLast) {
  if (!/[{}]/.test(part)) {
    if (part === '.' || part === '..') throw new TypeError('`.` and `..` are not segments: write the path out');
    const odd = LITERAL.exec(part);
    if (odd) throw new TypeError(`"${part}": "${odd[0]}" cannot stand in a literal segment`);
    return { literal: part };
  }
  const inner = /^\{([^{}]*)\}$/.exec(part)?.[1];
  if (inner === undefined) throw new TypeError(`"${part}": a parameter is a whole segment, as in /items/{name}`);
  const isRest = inner.startsWith('*');
  const name = isRest ? inner.slice(1) : inner;
  if (!NAME.test(name)) {
    throw new TypeError(`"${part}": name a parameter with letters, digits and _, and start the name with no digit`);
  }
  if (isRest && !isLast) throw new TypeError(`"${part}": only the last segment can match many`);
  return { name, isRest };
}

// The segments of a template. Throws a TypeError that says what to write instead.
export function parseTemplate(text) {
  if (typeof text !== 'string') throw new TypeError("the path is text: '/items/{id}'");
  if (text.length > MAX_BYTES) throw new TypeError(`at most ${MAX_BYTES} bytes`);
  if (!text.startsWith('/')) throw new TypeError(`start it with a slash: '/${text}'`);
  const parts = text.slice(1).split('/');
  const segments = parts.map((part, i) => {
    const isLast = i + 1 === parts.length;
    if (part === '' && parts.length > 1) {
      throw new TypeError(isLast ? 'it ends with a slash: remove it' : 'two slashes in a row: remove one');
    }
    return parseSegment(part, isLast);
  });
  const names = segments.map(({ name }) => name).filter((name) => name !== undefined);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new TypeError(`the parameter "${twice}" occurs twice: rename one`);
  return segments;
}

export const namesOf = (segments) => segments.filter(({ name }) => name !== undefined).map(({ name }) => name);

const kind = ({ name, isRest }) => (name === undefined ? 0 : isRest ? 2 : 1);

// True if both templates match the same paths.
export function isAlike(one, other) {
  return (
    one.length === other.length &&
    one.every((segment, i) => kind(segment) === kind(other[i]) && segment.literal === other[i].literal)
  );
}

// The parameters of a path as they stand in it, still encoded. Undefined if the template does not match.
export function capture(segments, path) {
  if (!path.startsWith('/')) return undefined;
  const parts = path.slice(1).split('/');
  const params = [];
  for (const [i, { literal, name, isRest }] of segments.entries()) {
    if (i >= parts.length) return undefined;
    if (isRest) {
      const rest = parts.slice(i).join('/');
      return rest === '' ? undefined : [...params, [name, rest]];
    }
    if (name === undefined ? parts[i] !== literal : parts[i] === '') return undefined;
    if (name !== undefined) params.push([name, parts[i]]);
  }
  return parts.length === segments.length ? params : undefined;
}

const lessSpecific = (one, other) => {
  for (let i = 0; i < Math.min(one.length, other.length); i++) {
    if (kind(one[i]) !== kind(other[i])) return kind(one[i]) > kind(other[i]);
  }
  return one.length > other.length;
};

// The endpoint that serves a request, and the parameters. Without one, the methods that the path has.
export function find(endpoints, method, path) {
  let best;
  const methods = new Set();
  for (const endpoint of endpoints) {
    const params = capture(endpoint.segments, path);
    if (params === undefined) continue;
    methods.add(endpoint.method);
    if (endpoint.method !== method) continue;
    if (!best || lessSpecific(best.endpoint.segments, endpoint.segments)) best = { endpoint, params };
  }
  return best ?? { methods: [...methods].sort() };
}
