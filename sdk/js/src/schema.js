// Reads schemas of any kind: Standard Schema (https://standardschema.dev: zod, ArkType, Valibot), or plain JSON Schema
// (TypeBox). Validates by them, writes them as JSON Schema, and turns the text of paths, queries and forms into their
// types.

import { TooComplex, validate } from './json-schema.js';
import { checkSchema, embedded, isEqual, own, pointerTo, resolve } from './json-schema-document.js';
import { Refusal } from './refusal.js';

const TARGET = 'draft-2020-12';
const SHOWN = 5; // problems in one message

const isStandard = (schema) => schema?.['~standard'] !== undefined;

const NO_JSON_SCHEMA =
  'it has no JSON Schema, so callers do not see it and text is not turned into numbers: use zod 4.2 or newer (zod/mini ' +
  'has none), ArkType, or toStandardJsonSchema of @valibot/to-json-schema; or write withJsonSchema(schema, json)';

// The same schema with a JSON Schema that its library does not tell by itself, as of z.toJSONSchema(schema).
export function withJsonSchema(schema, json) {
  if (!isStandard(schema))
    throw new TypeError('withJsonSchema(schema, json): the schema is one of zod, Valibot or ArkType');
  const { $schema, ...rest } = json;
  const tell = () => rest;
  return {
    '~standard': {
      ...schema['~standard'],
      jsonSchema: { input: tell, output: tell },
    },
  };
}

function jsonOf(schema, side) {
  if (!isStandard(schema)) {
    const json = JSON.parse(JSON.stringify(schema));
    checkSchema(json);
    return { json };
  }
  const tell = schema['~standard'].jsonSchema?.[side];
  if (typeof tell !== 'function') return { problem: NO_JSON_SCHEMA };
  try {
    const { $schema, ...json } = tell({ target: TARGET });
    return { json };
  } catch (error) {
    return {
      problem: `its JSON Schema cannot be told: ${error?.message ?? error}`,
    };
  }
}

// Makes a schema ready for use. `problem` says why its JSON Schema is not known; a schema that is none throws.
export function prepare(schema, side = 'input') {
  const isOne = (typeof schema === 'object' && schema !== null) || typeof schema === 'function';
  if (!isOne) throw new TypeError(`${JSON.stringify(schema)} is not a schema`);
  if (typeof schema === 'function' && !isStandard(schema)) {
    throw new TypeError(`the function ${schema.name || ''} is not a schema: call it, if it makes one`);
  }
  if (!isStandard(schema) && typeof schema.parse === 'function') {
    throw new TypeError('this schema has no `~standard`: update its library (zod 3.24, 4.2 or newer)');
  }
  return { schema, ...jsonOf(schema, side) };
}

// Validates by a prepared schema. Throws a Refusal that names each field by its JSON pointer; `part` is path, query or
// body. `at` names the endpoint for a mistake of its author.
export function check(prepared, value, part, at) {
  const { schema, json } = prepared;
  const result = isStandard(schema) ? schema['~standard'].validate(value) : validated(json, value, part);
  if (typeof result?.then === 'function') {
    throw new TypeError(`${at}: the schema of its ${part} is asynchronous: check that in the handler`);
  }
  if (!result.issues) return result.value;
  const problems = result.issues.map(({ path = [], message }) => ({
    pointer: `/${part}${pointerTo(path.map((key) => (typeof key === 'object' ? key.key : key)))}`,
    message,
  }));
  const [{ pointer }] = problems;
  const code = isStandard(schema) ? ruleAt(json, value, part, pointer) : result.issues[0].rule;
  const shown = problems.slice(0, SHOWN).map(({ pointer, message }) => pointer + joined(message));
  if (problems.length > SHOWN) shown.push(`and ${problems.length - SHOWN} more`);
  throw new Refusal(400, `invalid_${part}`, shown.join('; '), {
    pointer,
    ...(code && { code }),
  });
}

function validated(json, value, part) {
  try {
    return validate(json, value);
  } catch (error) {
    if (!(error instanceof TooComplex)) throw error;
    const message = `the ${part} takes too much work to check: send less at once, and nest it less deeply`;
    throw new Refusal(400, 'input_too_complex', message, { pointer: `/${part}` });
  }
}

// The keyword of the JSON Schema that a value does not meet at this place. Libraries have codes of their own, and
// callers read the ones that the host uses. Undefined if only the library has the rule.
function ruleAt(json, value, part, pointer) {
  try {
    const { issues = [] } = validate(json, structuredClone(value));
    return issues.find(({ path }) => `/${part}${pointerTo(path)}` === pointer)?.rule;
  } catch {
    return undefined; // a pattern for another engine, or a value that is no JSON
  }
}

// The problem behind its pointer: a sentence of its own gets a colon before it.
const joined = (message) => {
  const lines = message.split('\n').map((line) => line.trim());
  const line = lines.join(' ');
  return /^(is|has|does|contains|fits|cannot|should|must)\b/.test(line) ? ` ${line}` : `: ${line}`;
};

// The schemas that a value may have by one schema: through references and alternatives.
function* alternatives(root, schema, seen = new Set()) {
  if (schema === null || typeof schema !== 'object' || seen.has(schema)) return;
  seen.add(schema);
  yield schema;
  if (typeof schema.$ref === 'string') yield* alternatives(root, resolve(root, schema), seen);
  for (const key of ['allOf', 'anyOf', 'oneOf']) {
    for (const one of schema[key] ?? []) yield* alternatives(root, one, seen);
  }
}

function typesOf(root, schema) {
  const types = new Set();
  const values = [];
  let items;
  for (const one of alternatives(root, schema)) {
    for (const type of [one.type ?? []].flat()) types.add(type);
    if (one.enum) values.push(...one.enum);
    if (one.const !== undefined) values.push(one.const);
    if (typeof one.items === 'object') items ??= one.items;
  }
  return { types, values, items };
}

// Digits match in one way only: else a long text that is no number takes the square of its length.
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

// One text in the type that its schema names. A text that does not fit stays as it is, for validation to name.
function coerceText(root, schema, text) {
  if (typeof text !== 'string') return text;
  const { types, values } = typesOf(root, schema);
  if (types.has('string') || (types.size === 0 && values.length === 0)) return text;
  if (types.size === 0 && values.some((value) => isEqual(value, text))) return text;
  const wants = (type) => types.has(type) || (types.size === 0 && values.some((value) => typeof value === type));
  if ((wants('number') || types.has('integer')) && NUMBER.test(text) && Number.isFinite(Number(text)))
    return Number(text);
  if (wants('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if (types.has('null') && text === 'null') return null;
  return text;
}

function coerceField(root, schema, texts) {
  const { types, items } = typesOf(root, schema);
  if (types.has('array') && !(texts.length === 1 && types.has('string'))) {
    return texts.map((text) => coerceText(root, items, text));
  }
  return texts.length === 1 ? coerceText(root, schema, texts[0]) : texts;
}

// The schemas of an object's fields by name, and that of all others.
function fieldSchemas(json) {
  const known = new Map();
  let rest;
  for (const one of alternatives(json, json)) {
    for (const [name, of] of Object.entries(one.properties ?? {})) if (!known.has(name)) known.set(name, of);
    if (typeof one.additionalProperties === 'object') rest ??= one.additionalProperties;
  }
  return { known, rest };
}

// True if a schema says something about a field of this name.
export function describes(json, name) {
  const { known, rest } = fieldSchemas(json);
  return known.has(name) || rest !== undefined;
}

// The fields of a query, a path or a form: pairs of name and text, in the types of the schema. A name that occurs more
// than once, or whose schema is an array, becomes an array.
export function fields(pairs, json) {
  const texts = new Map();
  for (const [name, value] of pairs) {
    // Clients choose the number of values: a new list for each would take its square.
    if (texts.has(name)) texts.get(name).push(value);
    else texts.set(name, [value]);
  }
  const { known, rest } = fieldSchemas(json);
  return Object.fromEntries([...texts].map(([name, list]) => [name, coerceField(json, known.get(name) ?? rest, list)]));
}

function pathSchema(names, json) {
  const named = names.map((name) => [name, own(json?.properties, name) ?? { type: 'string' }]);
  const properties = Object.fromEntries([...Object.entries(json?.properties ?? {}), ...named]);
  const required = [...new Set([...(json?.required ?? []), ...names])];
  return { type: 'object', ...json, properties, required };
}

// The input schema of an endpoint, as the manifest has it. Undefined if nothing is known of the input.
export function inputSchema({ names, path, query, body }) {
  const parts = {};
  if (names.length > 0) parts.path = pathSchema(names, path?.json);
  if (query?.json) parts.query = query.json;
  if (body?.json) parts.body = body.json;
  if (Object.keys(parts).length === 0) return undefined;
  const properties = Object.entries(parts).map(([part, json]) => [part, embedded(json, `#/properties/${part}`)]);
  const isNeeded = (part) => part === 'path' || part === 'body' || (parts[part].required ?? []).length > 0;
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    required: Object.keys(parts).filter(isNeeded),
  };
}
