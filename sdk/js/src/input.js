// Makes a handler's input from a request: routes it, decodes and coerces its parts, and validates them.

import { endpoints } from './endpoint.js';
import { pointerTo } from './json-schema-document.js';
import { Refusal } from './refusal.js';
import { check, describes, fields } from './schema.js';
import { find } from './template.js';
import { parseForm } from './web/blob.js';
import { TextDecoder } from './web/encoding.js';
import { isDeeper } from './web/json.js';
import { URLSearchParams } from './web/url.js';

// The endpoint that serves a request, and the decoded parameters of its path. Throws a Refusal if there is none.
export function route(method, path) {
  const { endpoint, params, methods } = find(endpoints, method === 'HEAD' ? 'GET' : method, path);
  if (!endpoint && methods.length > 0) {
    const allow = methods.join(', ');
    const refusal = new Refusal(405, 'method_not_allowed', `this path is served with other methods: ${allow}`);
    refusal.headers = { allow };
    throw refusal;
  }
  if (!endpoint) throw new Refusal(404, 'not_found', `this plugin serves no ${method} ${path}`);
  return {
    endpoint,
    params: params.map(([name, text]) => [name, decodeParameter(name, text)]),
  };
}

function decodeParameter(name, text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Refusal(400, 'invalid_path', `/path/${name} is not percent-encoded UTF-8`, {
      pointer: `/path/${name}`,
      code: 'encoding',
    });
  }
}

// Splits and decodes a query. Throws a Refusal of a described field that is not percent-encoded UTF-8: what the endpoint
// does not look at is decoded as the URL standard has it.
function queryPairs(query, json) {
  for (const pair of query.includes('%') ? query.split('&') : []) {
    const name = notEncoded(pair);
    if (name === undefined || !json || !describes(json, name)) continue;
    const pointer = `/query${pointerTo([name])}`;
    throw new Refusal(400, 'invalid_query', `${pointer} is not percent-encoded UTF-8: write %25 for a percent sign`, {
      pointer,
      code: 'encoding',
    });
  }
  return new URLSearchParams(query);
}

// The name of a pair that is not percent-encoded UTF-8; undefined for any other.
function notEncoded(pair) {
  try {
    decodeURIComponent(pair);
  } catch {
    return [...new URLSearchParams(pair).keys()][0] ?? '';
  }
}

// The deepest body of JSON, which is also the deepest one that the host lets through.
const DEEPEST = 127;

// An escape of half of a surrogate pair. JSON.stringify writes no pair as escapes.
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]/;

const mediaType = (headers) => (headers.get('content-type') ?? '').split(';', 1)[0].trim().toLowerCase();
const isForm = (type) => type === 'application/x-www-form-urlencoded' || type === 'multipart/form-data';

function textOf(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Refusal(400, 'invalid_body', 'the body is not UTF-8', {
      pointer: '/body',
      code: 'encoding',
    });
  }
}

function jsonOf(bytes) {
  const text = textOf(bytes);
  if (text.trim() === '') {
    throw new Refusal(400, 'invalid_body', 'the body is empty: send JSON that fits the input schema', {
      pointer: '/body',
      code: 'required',
    });
  }
  const refusal = (reason) =>
    new Refusal(400, 'invalid_body', `the body is not JSON: ${reason}`, { pointer: '/body', code: 'json' });
  if (isDeeper(text, DEEPEST)) throw refusal(`it nests deeper than ${DEEPEST} levels`);
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refusal(error.message);
  }
  if (text.includes('\\u') && LONE_SURROGATE.test(text) && LONE_SURROGATE.test(JSON.stringify(value))) {
    throw refusal('a string has half of a surrogate pair, which is no character');
  }
  return value;
}

function formOf(bytes, headers, json) {
  let form;
  try {
    form = parseForm(bytes, headers.get('content-type'));
  } catch (error) {
    throw new Refusal(400, 'invalid_body', error.message, {
      pointer: '/body',
      code: 'form',
    });
  }
  return fields(form, json ?? {});
}

// The body as its endpoint wants it.
function bodyOf({ rawBody, schemas, at }, bytes, headers) {
  if (rawBody === 'bytes') return bytes;
  if (rawBody === 'text') return textOf(bytes);
  if (!schemas.body) return undefined;
  // `curl -d` calls everything a form.
  const isJson = bytes[0] === 0x7b || bytes[0] === 0x5b;
  const value = isForm(mediaType(headers)) && !isJson ? formOf(bytes, headers, schemas.body.json) : jsonOf(bytes);
  return check(schemas.body, value, 'body', at);
}

export const readsBody = ({ rawBody, schemas }) => rawBody !== undefined || schemas.body !== undefined;

// The validated parts of a request. `params` are decoded pairs, `query` is the text behind the question mark.
export function readInput(endpoint, { params, query, headers, bytes }) {
  const { schemas, at } = endpoint;
  let path = fields(params, schemas.path?.json ?? {});
  if (schemas.path) path = check(schemas.path, path, 'path', at);
  let search = fields(queryPairs(query ?? '', schemas.query?.json), schemas.query?.json ?? {});
  if (schemas.query) search = check(schemas.query, search, 'query', at);
  return { path, query: search, body: bodyOf(endpoint, bytes, headers) };
}
