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
    `require(${JSON.stringify(specifier)}) cannot be followed: a plugin has the modules that its sources require by ` +
      'their names, as require("./name"), and not by a name that is computed, nor by another function than require',
  );
}

// The answer of `import()` to a specifier that the builder has not followed.
export async function missingImport(specifier, messages) {
  if (Object.hasOwn(messages, specifier)) throw failure('ERR_MODULE_NOT_FOUND', messages[specifier]);
  throw failure(
    'ERR_MODULE_NOT_FOUND',
    `import(${JSON.stringify(String(specifier))}) cannot be followed: a plugin has the modules that its sources import ` +
      'by their names, as import("./name"), and not by a name that is computed',
  );
}

// The exports of a module, which is evaluated when it is first required. In a cycle they are those that it has so far.
// `require` gives the exports of a specifier, and `before` is the number of columns before the first line of the file.
//
// A stack tells by the name of this function where the evaluation of a module begins. Modules that require one another in
// a chain are on the stack at once, so few functions are between them.
function $coinslot_evaluate(name, body, require, before) {
  const known = modules.get(name);
  if (known) return known.exports;
  markCommonJs(name, before);
  const filename = `/${name.replace(/^(\.{0,2}\/)+/, '')}`;
  const module = { exports: {}, id: filename, filename, loaded: false, children: [], paths: [] };
  require.cache = {};
  require.resolve = (specifier) => specifier;
  module.require = require;
  modules.set(name, module);
  try {
    const folder = filename.replace(/\/[^/]*$/, '');
    body.call(module.exports, module, module.exports, require, filename, folder, globalThis);
  } catch (error) {
    modules.delete(name);
    throw error;
  }
  module.loaded = true;
  return module.exports;
}

export { $coinslot_evaluate as run };

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

// A name of a module of ECMAScript that was required before it ran: it imports the module that requires it.
function read(found, name, specifier) {
  try {
    return found[name];
  } catch (error) {
    throw new Error(
      `\`${name}\` of '${specifier}' has no value yet: '${specifier}' imports this module, itself or through others, and ` +
        'runs after it. Node.js refuses such a circle: require it in a function that is called later, or have one of ' +
        'the two not import the other',
      { cause: error },
    );
  }
}

// The namespace of an ECMAScript module as `require` gives it by a specifier.
export function fromNamespace(found, specifier) {
  if (!required.has(found)) {
    const target = {};
    for (const name of Object.getOwnPropertyNames(found)) {
      if (name === '__esModule') continue;
      Object.defineProperty(target, name, { get: () => read(found, name, specifier), enumerable: true });
    }
    Object.defineProperty(target, '__esModule', { value: true });
    required.set(found, target);
  }
  return required.get(found);
}
