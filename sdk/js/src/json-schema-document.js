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

const TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'];
const UNSUPPORTED = ['$dynamicRef', '$recursiveRef'];
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies'];
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];
const SINGLE = [
  ...['items', 'contains', 'additionalProperties', 'propertyNames', 'if', 'then', 'else', 'not'],
  ...['unevaluatedItems', 'unevaluatedProperties', 'additionalItems', 'contentSchema'],
];

// The name of a schema that is a resource of its own: `#` in it stands for it.
const idOf = (schema) => (typeof schema.$id === 'string' ? schema.$id.replace(/#+$/, '') : '');

// Every subschema of a schema, itself first, with the resource that it is in. A value of `const`, `enum`, `default` or
// `examples` is none.
function* subschemas(schema, outer) {
  if (!isObject(schema)) return;
  const resource = idOf(schema) === '' ? outer : schema;
  yield [schema, resource];
  for (const key of MAPS) for (const one of Object.values(schema[key] ?? {})) yield* subschemas(one, resource);
  for (const key of LISTS) for (const one of schema[key] ?? []) yield* subschemas(one, resource);
  if (Array.isArray(schema.items)) for (const one of schema.items) yield* subschemas(one, resource);
  for (const key of SINGLE) yield* subschemas(schema[key], resource);
}

// A schema with all its subschemas, those included to which only a reference leads.
class Document {
  constructor(root) {
    this.resources = new Map(); // of each subschema
    this.named = new Map(); // by `$id`
    this.anchors = new Map(); // by resource, and by `$anchor`
    this.add(root, root);
    // The references of what is added meanwhile are followed, too.
    for (const schema of this.resources.keys()) {
      const { target, resource } = this.follow(schema);
      this.add(target, resource);
    }
  }

  add(from, outer) {
    if (this.resources.has(from)) return;
    for (const [schema, resource] of subschemas(from, outer)) {
      if (this.resources.has(schema)) continue;
      this.resources.set(schema, resource);
      if (resource === schema && !this.named.has(idOf(schema))) this.named.set(idOf(schema), schema);
      if (!this.anchors.has(resource)) this.anchors.set(resource, new Map());
      for (const key of ['$anchor', '$dynamicAnchor']) {
        if (typeof schema[key] === 'string') this.anchors.get(resource).set(schema[key], schema);
      }
    }
  }

  // The subschema that the `$ref` of a subschema names, and the resource that it is in. Empty if there is none.
  follow(schema) {
    if (typeof schema.$ref !== 'string') return {};
    const [base, fragment = ''] = schema.$ref.split(/#(.*)/s);
    let resource = base === '' ? this.resources.get(schema) : this.named.get(base);
    if (resource === undefined) return {};
    if (fragment === '') return { target: resource, resource };
    if (!fragment.startsWith('/')) return { target: this.anchors.get(resource)?.get(fragment), resource };
    let target = resource;
    for (const part of decoded(fragment).slice(1).split('/')) {
      target = own(target, part.replaceAll('~1', '/').replaceAll('~0', '~'));
      if (isObject(target) && idOf(target) !== '') resource = target;
    }
    return { target, resource };
  }
}

function decoded(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

const documents = new WeakMap();

// The subschemas of a schema, by their resources. Schemas do not change once they are in use.
function documentOf(root) {
  if (!documents.has(root)) documents.set(root, new Document(root));
  return documents.get(root);
}

// The subschema that the `$ref` of a subschema of the root names. Undefined if there is none.
export const resolve = (root, schema) => documentOf(root).follow(schema).target;

// A copy of a schema for a place in another one, where its references lead to the same subschemas: those that count from
// its root count from that place, which `prefix` points to.
export function embedded(json, prefix) {
  const copy = structuredClone(json);
  if (!isObject(copy) || idOf(copy) !== '') return copy;
  for (const [schema, resource] of new Document(copy).resources) {
    if (resource !== copy || typeof schema.$ref !== 'string') continue;
    if (schema.$ref === '#') schema.$ref = prefix;
    else if (schema.$ref.startsWith('#/')) schema.$ref = prefix + schema.$ref.slice(1);
  }
  return copy;
}

// Throws a TypeError for a schema that cannot be followed.
export function checkSchema(root) {
  if (!isObject(root)) return;
  for (const schema of documentOf(root).resources.keys()) {
    const odd = UNSUPPORTED.find((key) => key in schema);
    if (odd) throw new TypeError(`${odd} is not supported: use $ref`);
    const type = [schema.type ?? []].flat().find((one) => !TYPES.includes(one));
    if (type !== undefined) {
      throw new TypeError(`{ type: ${JSON.stringify(type)} } is no type: there are ${TYPES.join(', ')}`);
    }
    if (typeof schema.$ref === 'string' && resolve(root, schema) === undefined) {
      throw new TypeError(
        `{ $ref: '${schema.$ref}' } leads to nothing: references stay within the schema, as '#/$defs/Name'`,
      );
    }
    for (const pattern of [schema.pattern, ...Object.keys(schema.patternProperties ?? {})]) {
      if (pattern !== undefined) new RegExp(pattern, 'u');
    }
  }
}
