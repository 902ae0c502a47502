// Finds the subschemas of a JSON Schema and what its references name, and refuses one that cannot be followed.

export const pointerTo = (path) =>
  path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

export const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

// A field of an object of JSON, which may be missing. What objects inherit is none: callers and schemas choose names such
// as `constructor`.
export const own = (object, key) => (object && Object.hasOwn(object, key) ? object[key] : undefined);

export function isEqual(a, b) {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]));
}

// A text that is the same for equal values of JSON. Calls `step` for each part of the value.
function canonical(value, step) {
  step();
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, step)).join()}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? '';
  const field = (key) => `${JSON.stringify(key)}:${canonical(value[key], step)}`;
  return `{${Object.keys(value).sort().map(field).join()}}`;
}

// Whether an item equals another one. Callers choose the number of items, so no item is compared with all others.
export function hasTwice(items, step) {
  const texts = items.map((item) => (typeof item === 'string' ? `"${item}` : canonical(item, step)));
  return new Set(texts).size < items.length;
}

// The subschema that a reference within the schema names. Undefined if there is none.
export function resolve(root, reference) {
  if (reference === '#') return root;
  if (reference.startsWith('#/')) {
    let at = root;
    for (const part of decodeURIComponent(reference.slice(2)).split('/')) {
      at = own(at, part.replaceAll('~1', '/').replaceAll('~0', '~'));
    }
    return at;
  }
  return findNamed(root, reference);
}

// A subschema by its `$id`, or by its `$anchor` behind a `#`.
function findNamed(schema, reference) {
  if (schema === null || typeof schema !== 'object') return undefined;
  if (schema.$id === reference || (typeof schema.$anchor === 'string' && `#${schema.$anchor}` === reference))
    return schema;
  for (const value of Object.values(schema)) {
    const found = findNamed(value, reference);
    if (found !== undefined) return found;
  }
  return undefined;
}

const TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'];
const UNSUPPORTED = ['$dynamicRef', '$recursiveRef'];
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'];
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];
const SINGLE = [
  ...['items', 'contains', 'additionalProperties', 'propertyNames', 'if', 'then', 'else', 'not'],
  ...['unevaluatedItems', 'unevaluatedProperties'],
];

// Every subschema of a schema, itself first. A value of `const`, `enum`, `default` or `examples` is none.
export function* subschemas(schema) {
  if (!isObject(schema)) return;
  yield schema;
  for (const key of MAPS) for (const one of Object.values(schema[key] ?? {})) yield* subschemas(one);
  for (const key of LISTS) for (const one of schema[key] ?? []) yield* subschemas(one);
  for (const key of SINGLE) yield* subschemas(schema[key]);
}

// Throws a TypeError for a schema that cannot be followed.
export function checkSchema(root) {
  for (const schema of subschemas(root)) {
    const odd = UNSUPPORTED.find((key) => key in schema);
    if (odd) throw new TypeError(`${odd} is not supported: use $ref`);
    const type = [schema.type ?? []].flat().find((one) => !TYPES.includes(one));
    if (type !== undefined) {
      throw new TypeError(`{ type: ${JSON.stringify(type)} } is no type: there are ${TYPES.join(', ')}`);
    }
    if (typeof schema.$ref === 'string' && resolve(root, schema.$ref) === undefined) {
      throw new TypeError(
        `{ $ref: '${schema.$ref}' } leads to nothing: references stay within the schema, as '#/$defs/Name'`,
      );
    }
    for (const pattern of [schema.pattern, ...Object.keys(schema.patternProperties ?? {})]) {
      if (pattern !== undefined) new RegExp(pattern, 'u');
    }
  }
}
