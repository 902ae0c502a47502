// What JSON Schema says of a value alone, and the words for it: types, constants, numbers.

import { isEqual, own } from './json-schema-document.js';

export function typeOf(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

export const isType = (type, actual) => type === actual || (type === 'number' && actual === 'integer');

// The parts of a value: itself, and all items and fields in it.
export function partsOf(value) {
  let count = 0;
  for (const rest = [value]; rest.length > 0; count++) {
    const part = rest.pop();
    if (part !== null && typeof part === 'object') for (const key of Object.keys(part)) rest.push(part[key]);
  }
  return count;
}

export const article = (type) => {
  const names = {
    array: 'an array',
    object: 'an object',
    integer: 'an integer',
    null: 'null',
    undefined: 'missing',
  };
  return own(names, type) ?? `a ${type}`;
};

export const unknown = (known) =>
  known.length === 0 ? 'is not known here' : `is not known here: there are ${known.join(', ')}`;

export function checkAny({ schema, value, add }) {
  if (schema.enum !== undefined && !schema.enum.some((one) => isEqual(one, value))) {
    add('enum', `is none of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`);
  }
  if (schema.const !== undefined && !isEqual(schema.const, value)) {
    add('const', `is not ${JSON.stringify(schema.const)}`);
  }
}

// Neither 19.99 nor 0.01 is the decimal number that is written, and their quotient is rounded, too: three roundings, of
// half an ulp each. Two integers are what is written.
function isMultiple(value, of) {
  if (Number.isInteger(value) && Number.isInteger(of)) return value % of === 0;
  const times = value / of;
  const tolerance = Math.min(2 * Number.EPSILON * Math.max(1, Math.abs(times)), 0.25);
  return Math.abs(times - Math.round(times)) <= tolerance;
}

export function checkNumber({ schema, value, add }) {
  if (value < schema.minimum) add('minimum', `is ${value}; at least ${schema.minimum} is allowed`);
  if (value > schema.maximum) add('maximum', `is ${value}; at most ${schema.maximum} is allowed`);
  if (value <= schema.exclusiveMinimum) {
    add('exclusiveMinimum', `is ${value}; it should be above ${schema.exclusiveMinimum}`);
  }
  if (value >= schema.exclusiveMaximum) {
    add('exclusiveMaximum', `is ${value}; it should be below ${schema.exclusiveMaximum}`);
  }
  if (schema.multipleOf !== undefined) {
    if (!isMultiple(value, schema.multipleOf)) {
      add('multipleOf', `is ${value}, which is not a multiple of ${schema.multipleOf}`);
    }
  }
}
