// Path templates: the cases that the host, the Rust SDK and this SDK share.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { capture, find, isAlike, namesOf, parseTemplate } from '../src/template.js';

const TABLE = readFileSync(new URL('../../../tests/fixtures/path-templates.txt', import.meta.url), 'utf8');

const REASONS = {
  'no-leading-slash': /start it with a slash/,
  'too-long': /at most 512 bytes/,
  'trailing-slash': /ends with a slash/,
  'empty-segment': /two slashes in a row/,
  'dot-segment': /are not segments/,
  'partial-parameter': /a parameter is a whole segment/,
  'parameter-name': /name a parameter with letters/,
  'duplicate-parameter': /occurs twice/,
  'rest-not-last': /only the last segment can match many/,
  percent: /"%" cannot stand in a literal segment/,
  query: /"\?" cannot stand in a literal segment/,
  character: /cannot stand in a literal segment/,
};

const words = (params) => params.map(([name, value]) => `${name}=${decodeURIComponent(value)}`);

function decide(routes, method, path) {
  const endpoints = [];
  for (let i = 0; i < routes.length; i += 2) {
    endpoints.push({ method: routes[i], path: routes[i + 1], segments: parseTemplate(routes[i + 1]) });
  }
  const { endpoint, params, methods } = find(endpoints, method, path);
  if (endpoint) return ['serve', endpoint.path, ...words(params)].join(' ');
  return methods.length > 0 ? `allow ${methods.join(' ')}` : 'none';
}

const CHECKS = {
  valid: ([template, ...names]) => assert.deepEqual(namesOf(parseTemplate(template)), names),
  invalid: ([reason, ...template]) => {
    assert.ok(REASONS[reason], reason);
    assert.throws(() => parseTemplate(template.join(' ')), REASONS[reason]);
  },
  same: ([a, b]) => assert.ok(isAlike(parseTemplate(a), parseTemplate(b))),
  different: ([a, b]) => assert.ok(!isAlike(parseTemplate(a), parseTemplate(b))),
  match: ([template, path, ...expected]) => assert.deepEqual(words(capture(parseTemplate(template), path)), expected),
  mismatch: ([template, path]) => assert.equal(capture(parseTemplate(template), path), undefined),
};

test('templates are parsed, matched and chosen as the shared table says', () => {
  let routes = [];
  let cases = 0;
  for (const line of TABLE.split('\n').filter((text) => text !== '' && !text.startsWith('#'))) {
    const [kind, ...rest] = line.split(' ');
    try {
      if (kind === 'routes') routes = rest;
      else if (kind === 'request') assert.equal(decide(routes, rest[0], rest[1]), rest.slice(2).join(' '));
      else CHECKS[kind](rest);
    } catch (error) {
      error.message = `${line}: ${error.message}`;
      throw error;
    }
    cases++;
  }
  assert.ok(cases > 80, `${cases} cases`);
});

test('a mistake says what to write', () => {
  assert.throws(() => parseTemplate('quotes'), /start it with a slash: '\/quotes'/);
});
