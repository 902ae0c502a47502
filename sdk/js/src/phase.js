// Tells the two phases of a plugin's code apart. Its modules are evaluated once, when the plugin is built, and their
// memory becomes part of the plugin. What an export of the component calls runs later, in the host.

import { authorStack, loadingPackage } from './stack.js';

let building = true;
let quoting = false;

export const isBuilding = () => building;

// Marks the end of the build. Every export calls this first, so a snapshot never contains it.
export function leaveBuild() {
  building = false;
}

// Runs `price` as a quote: in a quote the host grants neither network nor configuration.
export function inQuote(price) {
  quoting = true;
  try {
    return price();
  } finally {
    quoting = false;
  }
}

// Refuses what has no meaning while the plugin is built: its result would be the same for every request.
export function refuseInBuild(what) {
  if (!building) return;
  const name = loadingPackage();
  const advice = name
    ? `the package ${name} calls it while it is loaded, which happens once, when the plugin is built, so all requests ` +
      'would share what it finds. A plugin cannot use this package: choose another one, or another version'
    : 'this code runs once, when the plugin is built, and what it finds becomes part of the plugin. Move it into the ' +
      'handler, which runs for each request';
  const error = new Error(`${what} is not available here: ${advice}`);
  error.stack = authorStack(error);
  throw error;
}

// Refuses a clock while the plugin is built, except to a package that reads it while it is loaded: an author cannot move
// that code. Returns whether the clock stands still.
export function refuseClockInBuild(what) {
  if (!building) return false;
  if (!loadingPackage()) refuseInBuild(what);
  return true;
}

// Refuses what the host grants to a running handler only.
export function refuseOutsideHandler(what) {
  refuseInBuild(what);
  if (!quoting) return;
  throw new Error(`${what} is not available in a quote or check: the price depends on the request alone`);
}
