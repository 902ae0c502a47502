// Validates values by JSON Schema (2020-12), for schemas that are plain JSON such as TypeBox makes: every keyword of
// the validation and applicator vocabularies, and references within the schema. `format` is an annotation, as the
// standard has it. Fills in the `default` of a property that is missing.

import { hasTwice, isEqual, isObject, resolve } from './json-schema-document.js';

export function typeOf(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const isType = (type, actual) => type === actual || (type === 'number' && actual === 'integer');

// One validation: collects problems, and which properties and items a schema has looked at.
class Validation {
  constructor(root) {
    this.root = root;
    this.patterns = new Map();
  }

  pattern(text) {
    if (!this.patterns.has(text)) this.patterns.set(text, new RegExp(text, 'u'));
    return this.patterns.get(text);
  }

  // Whether a value fits a schema. The problems go to `out`, the keys and indices looked at to `seen`.
  check(schema, value, path, out, seen = new Set()) {
    if (schema === true || schema === undefined) return true;
    const before = out.length;
    const add = (rule, message, at = path) => out.push({ path: at, message, rule });
    if (schema === false) {
      add('false', 'is not allowed');
      return false;
    }
    const context = { schema, value, path, out, seen, add };
    if (schema.$ref !== undefined) this.check(resolve(this.root, schema.$ref), value, path, out, seen);
    if (this.checkType(context)) {
      checkAny(context);
      if (typeof value === 'string') this.checkString(context);
      if (typeof value === 'number') checkNumber(context);
      if (Array.isArray(value)) this.checkArray(context);
      if (isObject(value)) this.checkObject(context);
    }
    this.checkCombined(context);
    if (Array.isArray(value)) this.checkUnevaluatedItems(context);
    if (isObject(value)) this.checkUnevaluatedProperties(context);
    return out.length === before;
  }

  checkType({ schema, value, add }) {
    if (schema.type === undefined) return true;
    const actual = typeOf(value);
    const types = [schema.type].flat();
    if (types.some((type) => isType(type, actual))) return true;
    const wanted = types.map(article).join(' or ');
    add('type', value === undefined ? 'is missing' : `is ${article(actual)}, and should be ${wanted}`);
    return false;
  }

  checkString({ schema, value, add }) {
    if (schema.minLength === undefined && schema.maxLength === undefined && schema.pattern === undefined) return;
    const length = [...value].length;
    if (length < schema.minLength)
      add('minLength', schema.minLength === 1 ? 'is empty' : `has fewer than ${schema.minLength} characters`);
    if (length > schema.maxLength)
      add('maxLength', `has ${length} characters; at most ${schema.maxLength} are allowed`);
    if (schema.pattern !== undefined && !this.pattern(schema.pattern).test(value)) {
      add('pattern', `does not match the pattern ${schema.pattern}`);
    }
  }

  checkArray({ schema, value, path, out, seen, add }) {
    const count = value.length;
    if (count < schema.minItems) add('minItems', `has ${count} items; at least ${schema.minItems} are needed`);
    if (count > schema.maxItems) add('maxItems', `has ${count} items; at most ${schema.maxItems} are allowed`);
    if (schema.uniqueItems && hasTwice(value)) {
      add('uniqueItems', 'has the same item twice');
    }
    const prefix = schema.prefixItems ?? [];
    value.forEach((item, i) => {
      const of = i < prefix.length ? prefix[i] : schema.items;
      if (of === undefined) return;
      seen.add(i);
      this.check(of, item, [...path, i], out);
    });
    if (schema.contains === undefined) return;
    const hits = value
      .map((item, i) => this.check(schema.contains, item, [...path, i], []))
      .map((fits, i) => (fits ? i : -1));
    const found = hits.filter((i) => i >= 0 && seen.add(i)).length;
    if (found < (schema.minContains ?? 1)) {
      add(schema.minContains === undefined ? 'contains' : 'minContains', 'does not contain an item that it needs');
    }
    if (found > schema.maxContains)
      add('maxContains', `contains ${found} of a kind of items; at most ${schema.maxContains} are allowed`);
  }

  checkObject({ schema, value, path, out, seen, add }) {
    const { properties = {}, patternProperties = {} } = schema;
    for (const key of schema.required ?? [])
      if (!Object.hasOwn(value, key)) add('required', 'is missing', [...path, key]);
    for (const [key, of] of Object.entries(properties)) {
      if (!Object.hasOwn(value, key) && isObject(of) && of.default !== undefined) {
        Object.defineProperty(value, key, {
          value: structuredClone(of.default),
          writable: true,
          enumerable: true,
          configurable: true,
        });
      }
    }
    const keys = Object.keys(value);
    if (keys.length < schema.minProperties)
      add('minProperties', `has ${keys.length} fields; at least ${schema.minProperties} are needed`);
    if (keys.length > schema.maxProperties)
      add('maxProperties', `has ${keys.length} fields; at most ${schema.maxProperties} are allowed`);
    for (const key of keys) {
      let isKnown = false;
      const visit = (of) => {
        isKnown = true;
        seen.add(key);
        this.check(of, value[key], [...path, key], out);
      };
      if (Object.hasOwn(properties, key)) visit(properties[key]);
      for (const [pattern, of] of Object.entries(patternProperties)) if (this.pattern(pattern).test(key)) visit(of);
      if (!isKnown && schema.additionalProperties === false) {
        add('additionalProperties', unknown(Object.keys(properties)), [...path, key]);
        seen.add(key);
      } else if (!isKnown && schema.additionalProperties !== undefined) {
        visit(schema.additionalProperties);
      }
      if (schema.propertyNames !== undefined) this.check(schema.propertyNames, key, [...path, key], out);
      for (const needed of schema.dependentRequired?.[key] ?? []) {
        if (!Object.hasOwn(value, needed)) {
          add('dependentRequired', `is needed beside ${key}`, [...path, needed]);
        }
      }
      const dependent = schema.dependentSchemas?.[key];
      if (dependent !== undefined) this.check(dependent, value, path, out, seen);
    }
  }

  checkCombined(context) {
    const { schema, value, path, out, seen, add } = context;
    for (const one of schema.allOf ?? []) this.check(one, value, path, out, seen);
    if (schema.anyOf) this.checkAlternatives(context, 'anyOf', (hits) => hits >= 1);
    if (schema.oneOf) this.checkAlternatives(context, 'oneOf', (hits) => hits === 1);
    if (schema.not !== undefined && this.check(schema.not, value, path, [])) {
      add('not', 'has a form that is excluded');
    }
    if (schema.if === undefined) return;
    const fits = this.check(schema.if, value, path, [], seen);
    this.check(fits ? schema.then : schema.else, value, path, out, seen);
  }

  checkAlternatives({ schema, value, path, out, seen, add }, rule, isEnough) {
    const alternatives = schema[rule];
    let hits = 0;
    let closest;
    for (const one of alternatives) {
      const problems = [];
      const looked = new Set();
      if (this.check(one, value, path, problems, looked)) {
        hits++;
        for (const key of looked) seen.add(key);
      } else if (!closest || problems[0].path.length > closest[0].path.length) {
        closest = problems;
      }
    }
    if (isEnough(hits)) return;
    if (hits > 1) add(rule, 'has more than one of the forms of which it should have one');
    else if (closest && closest[0].path.length > path.length) out.push(...closest);
    else add(rule, `fits none of the ${alternatives.length} forms that are allowed`);
  }

  checkUnevaluatedItems({ schema, value, path, out, seen }) {
    if (schema.unevaluatedItems === undefined) return;
    value.forEach((item, i) => {
      if (!seen.has(i)) this.check(schema.unevaluatedItems, item, [...path, i], out);
      seen.add(i);
    });
  }

  checkUnevaluatedProperties({ schema, value, path, out, seen }) {
    if (schema.unevaluatedProperties === undefined) return;
    for (const key of Object.keys(value)) {
      if (!seen.has(key)) this.check(schema.unevaluatedProperties, value[key], [...path, key], out);
      seen.add(key);
    }
  }
}

const article = (type) => {
  const names = {
    array: 'an array',
    object: 'an object',
    integer: 'an integer',
    null: 'null',
    undefined: 'missing',
  };
  return names[type] ?? `a ${type}`;
};

const unknown = (known) =>
  known.length === 0 ? 'is not known here' : `is not known here: there are ${known.join(', ')}`;

function checkAny({ schema, value, add }) {
  if (schema.enum !== undefined && !schema.enum.some((one) => isEqual(one, value))) {
    add('enum', `is none of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`);
  }
  if (schema.const !== undefined && !isEqual(schema.const, value)) {
    add('const', `is not ${JSON.stringify(schema.const)}`);
  }
}

function checkNumber({ schema, value, add }) {
  if (value < schema.minimum) add('minimum', `is ${value}; at least ${schema.minimum} is allowed`);
  if (value > schema.maximum) add('maximum', `is ${value}; at most ${schema.maximum} is allowed`);
  if (value <= schema.exclusiveMinimum) {
    add('exclusiveMinimum', `is ${value}; it should be above ${schema.exclusiveMinimum}`);
  }
  if (value >= schema.exclusiveMaximum) {
    add('exclusiveMaximum', `is ${value}; it should be below ${schema.exclusiveMaximum}`);
  }
  if (schema.multipleOf !== undefined) {
    const times = value / schema.multipleOf;
    if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times))) {
      add('multipleOf', `is ${value}, which is not a multiple of ${schema.multipleOf}`);
    }
  }
}

// Validates a value. It is changed in place: missing properties get their defaults. Each issue has the keyword that is
// not met as its `rule`.
export function validate(schema, value) {
  const issues = [];
  new Validation(schema).check(schema, value, [], issues);
  return issues.length === 0 ? { value } : { issues };
}
