// Validates values by JSON Schema (2020-12), for schemas that are plain JSON such as TypeBox makes: every keyword of
// the validation and applicator vocabularies, and references within the schema. `format` is an annotation, as the
// standard has it. A value is checked as it came; then its missing properties get the `default` of the subschemas that
// it fits.

import { hasTwice, isObject, own, resolve } from './json-schema-document.js';
import { article, checkAny, checkNumber, isType, partsOf, typeOf, unknown } from './json-schema-values.js';

// Thrown for a value that takes more stack or steps than there are. Nothing is known about the value.
export class TooComplex extends Error {}

// Subschemas within one another. The stack of an instance holds some 380, by whatever keywords.
const MOST_DEPTH = 300;

// Subschemas applied, problems and defaults: of a small value, and more for each part of a large one.
const MOST_STEPS = 2_000;
const STEPS_OF_PART = 50;

// One validation: collects problems, defaults, and which properties and items a schema has looked at.
//
// Callers choose the value, so depth and steps are bounded. A schema that refers to itself in two alternatives would take
// time that doubles with each level: what a reference found in an object or array is kept. The functions that call each
// other for each level are few, and use no callbacks, because all of their frames lie on the stack.
class Validation {
  constructor(root, value) {
    this.root = root;
    this.patterns = new Map();
    this.defaults = []; // { object, key, value }, of the subschemas that fit so far
    this.referred = new Map(); // by schema and value: the problems, defaults and keys that were found
    this.depth = 0;
    this.steps = MOST_STEPS + STEPS_OF_PART * partsOf(value);
  }

  pattern(text) {
    if (!this.patterns.has(text)) this.patterns.set(text, new RegExp(text, 'u'));
    return this.patterns.get(text);
  }

  step() {
    if (--this.steps < 0) throw new TooComplex();
  }

  // Whether a value fits a schema. The problems go to `out`, the keys and indices looked at to `seen`. The defaults of a
  // schema that does not fit are forgotten by its caller, unless that does not fit either.
  check(schema, value, path, out, seen = new Set()) {
    this.step();
    if (schema === true || schema === undefined) return true;
    if (schema === false) {
      out.push({ path, message: 'is not allowed', rule: 'false' });
      return false;
    }
    if (++this.depth > MOST_DEPTH) throw new TooComplex();
    const before = out.length;
    const add = (rule, message, at = path) => out.push({ path: at, message, rule });
    const context = { schema, value, path, out, seen, add };
    if (schema.$ref !== undefined) this.checkReference(context);
    if (this.checkType(context)) {
      checkAny(context);
      if (typeof value === 'string') this.checkString(context);
      if (typeof value === 'number') checkNumber(context);
      if (Array.isArray(value)) this.checkArray(context);
      if (isObject(value)) this.checkObject(context);
    }
    for (const one of schema.allOf ?? []) this.check(one, value, path, out, seen);
    if (schema.anyOf) this.checkAlternatives(context, 'anyOf', (hits) => hits >= 1);
    if (schema.oneOf) this.checkAlternatives(context, 'oneOf', (hits) => hits === 1);
    if (schema.not !== undefined || schema.if !== undefined) this.checkConditions(context);
    if (schema.unevaluatedItems !== undefined && Array.isArray(value)) this.checkUnevaluatedItems(context);
    if (schema.unevaluatedProperties !== undefined && isObject(value)) this.checkUnevaluatedProperties(context);
    this.depth--;
    return out.length === before;
  }

  checkReference({ schema, value, path, out, seen }) {
    const target = resolve(this.root, schema);
    if (value === null || typeof value !== 'object') {
      this.check(target, value, path, out, seen);
      return;
    }
    if (!this.referred.has(target)) this.referred.set(target, new Map());
    const ofTarget = this.referred.get(target);
    let found = ofTarget.get(value);
    if (found === undefined) {
      found = { problems: [], looked: new Set() };
      const before = this.defaults.length;
      this.check(target, value, path, found.problems, found.looked);
      found.defaults = this.defaults.slice(before);
      ofTarget.set(value, found);
    } else {
      for (const one of found.defaults) {
        this.step();
        this.defaults.push(one);
      }
    }
    for (const problem of found.problems) {
      this.step();
      out.push(problem);
    }
    for (const key of found.looked) seen.add(key);
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
    if (schema.uniqueItems && hasTwice(value, () => this.step())) {
      add('uniqueItems', 'has the same item twice');
    }
    const prefix = schema.prefixItems ?? [];
    for (let i = 0; i < count; i++) {
      const of = i < prefix.length ? prefix[i] : schema.items;
      if (of === undefined) break;
      seen.add(i);
      this.check(of, value[i], [...path, i], out);
    }
    if (schema.contains === undefined) return;
    const before = this.defaults.length;
    let found = 0;
    for (let i = 0; i < count; i++) {
      if (!this.check(schema.contains, value[i], [...path, i], [])) continue;
      seen.add(i);
      found++;
    }
    this.defaults.length = before;
    if (found < (schema.minContains ?? 1)) {
      add(schema.minContains === undefined ? 'contains' : 'minContains', 'does not contain an item that it needs');
    }
    if (found > schema.maxContains)
      add('maxContains', `contains ${found} of a kind of items; at most ${schema.maxContains} are allowed`);
  }

  checkObject({ schema, value, path, out, seen, add }) {
    const { properties = {} } = schema;
    for (const key of schema.required ?? [])
      if (!Object.hasOwn(value, key)) add('required', 'is missing', [...path, key]);
    for (const [key, of] of Object.entries(properties)) {
      if (!Object.hasOwn(value, key) && isObject(of) && of.default !== undefined) {
        const filled = structuredClone(of.default);
        this.defaults.push({ object: value, key, value: filled });
        seen.add(key);
        this.check(of, filled, [...path, key], out);
      }
    }
    const keys = Object.keys(value);
    if (keys.length < schema.minProperties)
      add('minProperties', `has ${keys.length} fields; at least ${schema.minProperties} are needed`);
    if (keys.length > schema.maxProperties)
      add('maxProperties', `has ${keys.length} fields; at most ${schema.maxProperties} are allowed`);
    for (const key of keys) {
      const rules = this.rulesOf(schema, key);
      if (rules.length === 0 && schema.additionalProperties === false) {
        add('additionalProperties', unknown(Object.keys(properties)), [...path, key]);
        seen.add(key);
      } else if (rules.length === 0 && schema.additionalProperties !== undefined) {
        rules.push(schema.additionalProperties);
      }
      if (rules.length > 0) seen.add(key);
      for (const of of rules) this.check(of, value[key], [...path, key], out);
      if (schema.propertyNames !== undefined) this.check(schema.propertyNames, key, [...path, key], out);
      for (const needed of own(schema.dependentRequired, key) ?? []) {
        if (!Object.hasOwn(value, needed)) {
          add('dependentRequired', `is needed beside ${key}`, [...path, needed]);
        }
      }
      const dependent = own(schema.dependentSchemas, key);
      if (dependent !== undefined) this.check(dependent, value, path, out, seen);
    }
  }

  // The subschemas for a field of this name.
  rulesOf({ properties, patternProperties = {} }, key) {
    const rules = [];
    const named = own(properties, key);
    if (named !== undefined) rules.push(named);
    for (const [pattern, of] of Object.entries(patternProperties)) if (this.pattern(pattern).test(key)) rules.push(of);
    return rules;
  }

  // Checks `not` and `if`. They ask about a value, and give it no defaults.
  checkConditions({ schema, value, path, out, seen, add }) {
    const before = this.defaults.length;
    if (schema.not !== undefined && this.check(schema.not, value, path, [])) {
      add('not', 'has a form that is excluded');
    }
    this.defaults.length = before;
    if (schema.if === undefined) return;
    const looked = new Set();
    const fits = this.check(schema.if, value, path, [], looked);
    this.defaults.length = before;
    if (fits) for (const key of looked) seen.add(key);
    this.check(fits ? schema.then : schema.else, value, path, out, seen);
  }

  checkAlternatives({ schema, value, path, out, seen, add }, rule, isEnough) {
    const alternatives = schema[rule];
    let hits = 0;
    let closest;
    for (const one of alternatives) {
      const problems = [];
      const looked = new Set();
      const before = this.defaults.length;
      if (this.check(one, value, path, problems, looked)) {
        hits++;
        for (const key of looked) seen.add(key);
        continue;
      }
      this.defaults.length = before;
      if (!closest || problems[0].path.length > closest[0].path.length) closest = problems;
    }
    if (isEnough(hits)) return;
    if (hits > 1) add(rule, 'has more than one of the forms of which it should have one');
    else if (closest && closest[0].path.length > path.length) for (const problem of closest) out.push(problem);
    else add(rule, `fits none of the ${alternatives.length} forms that are allowed`);
  }

  checkUnevaluatedItems({ schema, value, path, out, seen }) {
    for (let i = 0; i < value.length; i++) {
      if (!seen.has(i)) this.check(schema.unevaluatedItems, value[i], [...path, i], out);
      seen.add(i);
    }
  }

  checkUnevaluatedProperties({ schema, value, path, out, seen }) {
    for (const key of Object.keys(value)) {
      if (!seen.has(key)) this.check(schema.unevaluatedProperties, value[key], [...path, key], out);
      seen.add(key);
    }
  }
}

// Validates a value. One that fits is changed in place: missing properties get their defaults. Each issue has the keyword
// that is not met as its `rule`. Throws TooComplex.
export function validate(schema, value) {
  const issues = [];
  const validation = new Validation(schema, value);
  validation.check(schema, value, [], issues);
  if (issues.length > 0) return { issues };
  for (const { object, key, value } of validation.defaults) {
    if (Object.hasOwn(object, key)) continue; // of a subschema before
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return { value };
}
