// Runs modules of CommonJS. The builder wraps each one in a function, and calls `run` when it is first required.

import { markCommonJs } from './stack.js';

const modules = new Map();

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

// What `require` gives for a specifier that the builder has not followed.
export function missing(specifier, messages) {
  if (Object.hasOwn(messages, specifier)) throw failure('MODULE_NOT_FOUND', messages[specifier]);
  throw failure(
    'MODULE_NOT_FOUND',
    `require(${JSON.stringify(specifier)}) cannot be followed: a plugin has the modules whose names stand in its ` +
      'sources, as require("./name")',
  );
}

// The answer of `import()` to a specifier that the builder has not followed.
export async function missingImport(specifier, messages) {
  if (Object.hasOwn(messages, specifier)) throw failure('ERR_MODULE_NOT_FOUND', messages[specifier]);
  throw failure(
    'ERR_MODULE_NOT_FOUND',
    `import(${JSON.stringify(String(specifier))}) cannot be followed: a plugin has the modules whose names stand in ` +
      'its sources, as import("./name")',
  );
}

// The exports of a module, which is evaluated when it is first required. In a cycle they are those that it has so far.
// `find` gives what a specifier requires, and `before` is the number of columns before the first line of the file.
export function run(name, body, find, before) {
  const known = modules.get(name);
  if (known) return known.exports;
  markCommonJs(name, before);
  const filename = `/${name.replace(/^(\.{0,2}\/)+/, '')}`;
  const module = { exports: {}, id: filename, filename, loaded: false, children: [], paths: [] };
  const require = (specifier) => find(specifier);
  require.cache = {};
  require.resolve = (specifier) => specifier;
  module.require = require;
  modules.set(name, module);
  try {
    $coinslot_evaluate(body, module, require);
  } catch (error) {
    modules.delete(name);
    throw error;
  }
  module.loaded = true;
  return module.exports;
}

// A function of its own, by whose name a stack tells where the evaluation of a module begins.
function $coinslot_evaluate(body, module, require) {
  const folder = module.filename.replace(/\/[^/]*$/, '');
  body.call(module.exports, module, module.exports, require, module.filename, folder, globalThis);
}

const isObject = (value) => value !== null && (typeof value === 'object' || typeof value === 'function');

function copy(target, from) {
  for (const name of isObject(from) ? Object.getOwnPropertyNames(from) : []) {
    if (Object.hasOwn(target, name)) continue;
    const enumerable = Object.getOwnPropertyDescriptor(from, name)?.enumerable ?? true;
    Object.defineProperty(target, name, { get: () => from[name], enumerable });
  }
  return target;
}

// The exports of a CommonJS module as an importer sees them, by the rule of esbuild: `default` is `module.exports`,
// except where the module is compiled from ECMAScript and the importer does not follow Node.js.
export function namespace(exports, isAsInNode) {
  const target = isObject(exports) ? Object.create(Object.getPrototypeOf(exports)) : {};
  if (isAsInNode || !exports?.__esModule) {
    Object.defineProperty(target, 'default', { value: exports, enumerable: true });
  }
  return copy(target, exports);
}

const LISTED = 24;

// One name of a namespace. `importer` is set where a missing one is an error of the author's.
export function pick(found, name, importer) {
  if (importer === null || name in found) return found[name];
  const known = Object.keys(found).filter((other) => other !== 'default');
  const has = known.length > 0 ? `: it has ${known.slice(0, LISTED).join(', ')}` : '';
  throw new Error(`Could not find export '${name}' in module '${importer}'${has}`);
}

const required = new WeakMap();

// The namespace of an ECMAScript module as `require` gives it.
export function fromNamespace(found) {
  if (!required.has(found)) {
    const target = copy({}, found);
    Object.defineProperty(target, '__esModule', { value: true });
    required.set(found, target);
  }
  return required.get(found);
}
