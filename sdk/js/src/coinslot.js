// Exports the module `coinslot`, which a plugin's author imports.

import { install } from './web/globals.js';

import { declare, mistake } from './endpoint.js';
import { host } from './host.js';
import { info } from './info.js';
import { refuseOutsideHandler } from './phase.js';

export { Refusal } from './refusal.js';
export { withJsonSchema } from './schema.js';
export { store } from './store.js';

install();

export const get = (path, options, handler) => declare('GET', path, options, handler);
export const post = (path, options, handler) => declare('POST', path, options, handler);
export const put = (path, options, handler) => declare('PUT', path, options, handler);
export const patch = (path, options, handler) => declare('PATCH', path, options, handler);
export const del = (path, options, handler) => declare('DELETE', path, options, handler);

const NAME = /^[a-z][a-z0-9-]{0,63}$/;
const VERSION = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;

// Says what package.json does not, or says it otherwise.
export function plugin({ name, version, onLoad } = {}) {
  if (name !== undefined) {
    if (!NAME.test(name)) {
      throw mistake(`plugin({ name: '${name}' }): lower-case letters, digits and hyphens, starting with a letter`);
    }
    info.name = name;
  }
  if (version !== undefined) {
    if (!VERSION.test(version)) throw mistake(`plugin({ version: '${version}' }): write a semantic version: '1.4.0'`);
    info.version = version;
  }
  if (onLoad !== undefined) {
    if (typeof onLoad !== 'function') throw mistake('plugin({ onLoad }): onLoad is a function');
    info.onLoad = onLoad;
  }
}

// What the operator has set in [plugin.NAME.config]: the value of a key, or all of them. Undefined if it is not set.
export function config(key) {
  refuseOutsideHandler(key === undefined ? 'config()' : `config('${key}')`);
  if (key === undefined) return Object.fromEntries(host.configValues());
  return host.configValue(String(key)) ?? undefined;
}

// Sets what the caller of an endpoint with `upTo` pays. The last call counts; without one the request is free.
export function charge(amount) {
  refuseOutsideHandler('charge()');
  if (typeof amount !== 'string') throw new TypeError(`charge(${amount}): the amount is text: charge('0.02')`);
  try {
    host.charge(amount);
  } catch (error) {
    throw new Error(`charge('${amount}') was not taken: ${error?.payload ?? error?.message ?? error}`);
  }
}
