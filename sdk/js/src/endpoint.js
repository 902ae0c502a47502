// Declares endpoints: checks what an author wrote, and says what to write instead, with the place in the author's file.

import { host } from './host.js';
import { isBuilding } from './phase.js';
import { prepare } from './schema.js';
import { authorStack, callSite } from './stack.js';
import { isAlike, namesOf, parseTemplate } from './template.js';
import { encodeUtf8 } from './web/encoding.js';

export const endpoints = [];

let isSealed = false;

// Ends the declarations: the manifest is made from what there is.
export function seal() {
  isSealed = true;
}

const OPTIONS = [
  ...['price', 'free', 'quoted', 'quote', 'upTo', 'summary', 'description', 'name', 'path', 'query', 'body', 'returns'],
  ...['headers', 'mimeType', 'upfront', 'pass', 'check', 'examples'],
];
const AMOUNT = /^\d+(\.\d+)?( [!-~]+)?$/;
const AMOUNT_BYTES = 80;
const SUMMARY = 120;
const DESCRIPTION = 2_000;
const HEADERS = 15;
// 366 days, and the most requests of a pass.
const PASS = { seconds: 31_622_400, requests: 1_000_000 };

// An error in a declaration. Its stack has the author's frames only.
export function mistake(text) {
  const error = new TypeError(text);
  error.stack = authorStack(error);
  return error;
}

const functionName = { GET: 'get', POST: 'post', PUT: 'put', PATCH: 'patch', DELETE: 'del' };

// An amount in dollars with a digit behind the sixth decimal, which no host can charge.
const FINER_THAN_DOLLARS = /^\d+\.\d{6}\d*[1-9]\d*( USDC?)?$/i;

// True for an amount as the contract writes it: digits, a dot and more digits, a space and the symbol of an asset.
export const isAmount = (text) => AMOUNT.test(text) && text.length <= AMOUNT_BYTES;

function amount(at, option, value) {
  const example = `${option}: '0.01'`;
  if (typeof value === 'number') {
    throw mistake(
      `${at}: a price is text, so that no part of a cent is lost to rounding: ${option}: '${plain(value)}'`,
    );
  }
  if (typeof value !== 'string') throw mistake(`${at}: ${option} is text with an amount in US dollars: ${example}`);
  if (!isAmount(value)) {
    const hint = value.startsWith('$') ? `${option}: '${value.slice(1)}'` : example;
    throw mistake(`${at}: ${option}: '${value}' is not an amount. Write digits, and a dot if needed: ${hint}`);
  }
  if (/^[0.]+( |$)/.test(value)) throw mistake(`${at}: ${option}: '${value}' costs nothing. Write free: true instead`);
  if (FINER_THAN_DOLLARS.test(value)) {
    throw mistake(
      `${at}: ${option}: '${value}' is finer than the smallest unit of USDC and the other dollars that hosts take, ` +
        `which have 6 decimals: write at least '0.000001'`,
    );
  }
  return value;
}

const plain = (value) => (String(value).includes('e') ? value.toFixed(12).replace(/0+$/, '') : String(value));

function price(at, options) {
  const { price: exact, quoted, quote, upTo, free } = options;
  const said = ['price', 'quoted', 'upTo', 'free'].filter(
    (key) => options[key] !== undefined && options[key] !== false,
  );
  if (said.length === 0) {
    throw mistake(
      `${at}: what does it cost? Write price: '0.01' (US dollars), ` +
        `quoted: '0.50' with quote: (input) => '0.02', or free: true`,
    );
  }
  if (said.length > 1) throw mistake(`${at}: give one price, not ${said.join(' and ')}`);
  if (quote !== undefined && quoted === undefined) {
    throw mistake(`${at}: quote needs quoted: '0.50', the most that a request can cost, in place of ${said[0]}`);
  }
  if (quoted !== undefined && typeof quote !== 'function') {
    throw mistake(`${at}: quoted: '${quoted}' needs quote: ({ body }) => '0.02', which says what this request costs`);
  }
  if (free !== undefined && free !== true && free !== false) throw mistake(`${at}: free is true, or is left out`);
  if (free) return { tag: 'free' };
  if (exact !== undefined) return { tag: 'exact', val: amount(at, 'price', exact) };
  if (upTo !== undefined) return { tag: 'up-to', val: amount(at, 'upTo', upTo) };
  return { tag: 'quoted', val: amount(at, 'quoted', quoted) };
}

function line(at, option, value, most) {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw mistake(`${at}: ${option} is text`);
  const text = value.replace(/\s+/g, ' ').trim();
  if ([...text].length > most)
    throw mistake(`${at}: ${option} has ${[...text].length} characters, and at most ${most} fit`);
  return text;
}

function description(at, value) {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw mistake(`${at}: description is text`);
  if ([...value].length > DESCRIPTION) throw mistake(`${at}: description has more than ${DESCRIPTION} characters`);
  return value.trim();
}

const NO_METERING =
  'hosts of this version sell nothing at a metered price, and refuse the plugin when they load it: ' +
  "write price: '0.01', or quoted: '0.50' with quote: (input) => '0.02'";

const BODIES = ['bytes', 'text'];

function warn(text) {
  if (isBuilding()) host.log(encodeUtf8(`${text}\n`));
}

function schema(at, options, key, side) {
  const given = options[key];
  if (given === undefined || (key === 'body' && BODIES.includes(given))) return undefined;
  let prepared;
  try {
    prepared = prepare(given, side);
  } catch (error) {
    const raw = key === 'body' ? ", or 'bytes' or 'text' for a body without one" : '';
    throw mistake(
      `${at}: ${key}: ${error.message}. Give a schema of zod, ArkType, Valibot or TypeBox, or JSON Schema${raw}`,
    );
  }
  if (prepared.problem) warn(`${at}: ${key}: ${prepared.problem} (${callSite()})`);
  return prepared;
}

function pathNames(at, names, prepared) {
  const fits = Object.keys(prepared?.json?.properties ?? {});
  const odd = (prepared?.json?.required ?? fits).find((name) => !names.includes(name));
  if (odd !== undefined) {
    const has = names.length === 0 ? 'no parameter' : names.map((name) => `{${name}}`).join(', ');
    throw mistake(`${at}: the schema of path names "${odd}", and the path has ${has}`);
  }
}

function headers(at, given = []) {
  if (!Array.isArray(given) || given.some((name) => typeof name !== 'string')) {
    throw mistake(
      `${at}: headers is a list of the header fields that quote and check see: headers: ['accept-language']`,
    );
  }
  if (given.length > HEADERS) throw mistake(`${at}: headers has more than ${HEADERS} names`);
  return given.map((name) => name.toLowerCase());
}

const GENERATORS = ['AsyncGeneratorFunction', 'GeneratorFunction'];

function mimeType(options, handler) {
  if (options.mimeType !== undefined) return options.mimeType;
  if (GENERATORS.includes(handler.constructor.name)) return 'text/event-stream';
  return options.returns === undefined ? 'text/plain; charset=utf-8' : 'application/json';
}

// The pass that a payment buys, in the grammar of the contract.
function pass(at, value, cost) {
  if (value === undefined) return undefined;
  const example = 'pass: { seconds: 3600, requests: 100 }';
  if (cost.tag === 'free') throw mistake(`${at}: a pass is bought by a payment, and this endpoint is free`);
  if (cost.tag === 'quoted') {
    throw mistake(`${at}: a pass goes with price: '..'; where the price is quoted the operator may give one`);
  }
  if (typeof value !== 'object' || value === null || Object.keys(value).sort().join() !== 'requests,seconds') {
    throw mistake(`${at}: a pass is a time and a number of further requests: ${example}`);
  }
  for (const [key, most] of Object.entries(PASS)) {
    if (!Number.isInteger(value[key]) || value[key] < 1 || value[key] > most) {
      throw mistake(`${at}: ${key} of a pass is a whole number from 1 to ${most}: ${example}`);
    }
  }
  return `seconds=${value.seconds}; requests=${value.requests}`;
}

function unknownOption(at, options) {
  const odd = Object.keys(options).find((key) => !OPTIONS.includes(key));
  if (odd === undefined) return;
  const close = OPTIONS.find((key) => key.toLowerCase() === odd.toLowerCase().replace(/[-_]/g, ''));
  const known = {
    schema: 'body',
    input: 'body',
    output: 'returns',
    response: 'returns',
    params: 'path',
    cost: 'price',
  };
  const hint = close ?? known[odd];
  throw mistake(`${at}: no option is called ${odd}${hint ? `: write ${hint}` : `. There are ${OPTIONS.join(', ')}`}`);
}

// Adds an endpoint. Throws a mistake that names it.
export function declare(method, path, options, handler) {
  const at = `${method} ${typeof path === 'string' ? path : '?'}`;
  const call = `${functionName[method]}('${typeof path === 'string' ? path : '/path'}'`;
  if (isSealed) throw mistake(`${at}: declare endpoints at the top level of the module, so that the host knows them`);
  let segments;
  try {
    segments = parseTemplate(path);
  } catch (error) {
    throw mistake(`${at}: the path: ${error.message}`);
  }
  const colon = segments.find(({ literal }) => /^:\w/.test(literal));
  if (colon) warn(`${at}: ${colon.literal} is taken letter by letter; a parameter is {${colon.literal.slice(1)}}`);
  if (path.startsWith('/.well-known/')) throw mistake(`${at}: paths below /.well-known/ belong to the host`);
  if (typeof options === 'function' || options === null || typeof options !== 'object') {
    throw mistake(
      `${at}: what does it cost? Write ${call}, { price: '0.01', summary: '..' }, (input) => ..), or { free: true }`,
    );
  }
  unknownOption(at, options);
  const cost = price(at, options);
  if (cost.tag === 'up-to') warn(`${at}: upTo: ${NO_METERING} (${callSite()})`);
  if (typeof handler !== 'function') {
    throw mistake(`${at}: the last argument is the function that answers: ${call}, { .. }, ({ query }) => 'text')`);
  }
  if (options.check !== undefined && typeof options.check !== 'function') {
    throw mistake(`${at}: check is a function that throws a Refusal: check: ({ body }) => { .. }`);
  }
  if (options.body !== undefined && (method === 'GET' || method === 'DELETE')) {
    throw mistake(`${at}: a ${method} request has no body: use query, or post`);
  }
  const names = namesOf(segments);
  const endpoint = {
    method,
    path,
    at,
    segments,
    names,
    price: cost,
    handler,
    check: options.check,
    quote: options.quote,
    summary: line(at, 'summary', options.summary ?? options.name, SUMMARY),
    description: description(at, options.description),
    mimeType: mimeType(options, handler),
    saidMimeType: options.mimeType,
    headers: headers(at, options.headers),
    upfront: options.upfront === true,
    pass: pass(at, options.pass, cost),
    rawBody: BODIES.includes(options.body) ? options.body : undefined,
    examples: options.examples,
    schemas: {
      path: schema(at, options, 'path'),
      query: schema(at, options, 'query'),
      body: schema(at, options, 'body'),
      returns: schema(at, options, 'returns', 'output'),
    },
    place: callSite(),
  };
  pathNames(at, names, endpoint.schemas.path);
  const twin = endpoints.find((other) => other.method === method && isAlike(other.segments, segments));
  if (twin) throw mistake(`${at}: this path is declared already${twin.place ? `, at ${twin.place}` : ''}`);
  endpoints.push(endpoint);
}
