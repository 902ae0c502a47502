// QuickJS-ng under Node: the engine of plugins, of another build, with the modules that the builder answers and a host
// that is a few lines of JavaScript. It shows that the SDK needs nothing but the engine.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import variant from '@jitl/quickjs-ng-wasmfile-release-sync';
import { newQuickJSWASMModuleFromVariant } from 'quickjs-emscripten-core';

const SDK = fileURLToPath(new URL('../../src/', import.meta.url));
const PREFIX = '/@coinslot/';
const SPECIFIERS = {
  coinslot: `${PREFIX}coinslot.js`,
  'coinslot/test': `${PREFIX}test.js`,
  'coinslot:exports': `${PREFIX}exports.js`,
  'coinslot:test-exports': `${PREFIX}test-exports.js`,
  'coinslot:package': `${PREFIX}package`,
  'coinslot:entry': 'plugin.js',
};

// `globalThis.sent` is what the component has sent: answers with status, fields and text, and log lines.
const HOST = `
const text = (bytes) => new TextDecoder().decode(bytes);
globalThis.sent = { answers: [], log: '' };
const http = {
  Fields: { fromList: (list) => list },
  Response: {
    new(fields, chunks, end) {
      const body = { text: '' };
      const answer = { status: 200, fields: Object.fromEntries(fields.map(([name, value]) => [name, text(value)])), body, end };
      if (chunks) (async () => { for await (const bytes of chunks) body.text += text(bytes); })();
      sent.answers.push(answer);
      return [{ setStatusCode: (status) => (answer.status = status) }];
    },
  },
  Request: { consumeBody: (request) => [request.stream, { read: async () => ({ tag: 'ok', val: null }) }] },
};
globalThis.wit = {
  Future: Object.assign(() => {
    const end = {};
    return { readable: end, writable: { write: async (value) => (end.value = value) } };
  }, { types: { RESULT_OPTION_OTHER_ERROR_CODE: 0, RESULT_VOID_ERROR_CODE: 1 } }),
};
let time = 1e9;
export const host = {
  http,
  receipt: () => ({ payer: '0xabc' }),
  charge() {},
  randomBytes: (count) => Array.from({ length: count }, (_, i) => (i * 37 + time) % 256),
  nowNanoseconds: () => time,
  waitNanoseconds: async (nanoseconds) => void (time += nanoseconds),
  configValue: () => null,
  configValues: () => [],
  log: (bytes) => void (sent.log += text(bytes)),
};
// A request of the host.
globalThis.incoming = (target, body = '') => {
  const [method, path] = target.split(' ');
  let rest = new TextEncoder().encode(body);
  const stream = { async next() { const value = rest; rest = new Uint8Array(); return { value, done: value.length === 0 }; }, return() {} };
  return {
    stream,
    getMethod: () => ({ tag: method.toLowerCase() }),
    getPathWithQuery: () => path,
    getHeaders: () => ({ copyAll: () => [['content-type', Array.from(new TextEncoder().encode('application/json'))]] }),
    getScheme: () => ({ tag: 'HTTPS' }),
    getAuthority: () => 'pay.example',
  };
};
`;

function read(name, files) {
  if (Object.hasOwn(files, name)) return files[name];
  if (name === `${PREFIX}package`) return 'export default { name: "in-engine", version: "1.0.0" };';
  if (name === `${PREFIX}host.js`) return HOST;
  return readFileSync(name.startsWith(PREFIX) ? SDK + name.slice(PREFIX.length) : name, 'utf8');
}

function resolve(files, from, specifier) {
  const beside = specifier.replace(/^\.\//, '');
  if (Object.hasOwn(files, beside)) return beside;
  if (Object.hasOwn(SPECIFIERS, specifier)) return SPECIFIERS[specifier];
  if (!specifier.startsWith('.')) return fileURLToPath(import.meta.resolve(specifier));
  return path.resolve(path.dirname(from), specifier);
}

// Evaluates a plugin as the builder does, then `script`, whose value it returns once its promises have settled.
// `beside` has further files of the author.
export async function evaluate(plugin, script, exportsOf = 'coinslot:exports', beside = {}) {
  const files = { ...beside, 'plugin.js': plugin };
  const module = await newQuickJSWASMModuleFromVariant(variant.default ?? variant);
  const runtime = module.newRuntime();
  runtime.setModuleLoader(
    (name) => read(name, files),
    (from, specifier) => resolve(files, from, specifier),
  );
  const context = runtime.newContext();
  const settle = () => {
    for (let jobs = 0; jobs < 100_000 && runtime.hasPendingJob(); jobs++) {
      context.unwrapResult(runtime.executePendingJobs(1));
    }
  };
  const run = (source, name, type) => {
    const handle = context.unwrapResult(context.evalCode(source, name, { type }));
    settle();
    const state = context.getPromiseState(handle);
    if (state.type === 'rejected') throw Object.assign(new Error(), context.dump(state.error));
    return context.dump(state.type === 'fulfilled' ? state.value : handle);
  };
  const entry = `import * as component from '${exportsOf}'; globalThis.component = component;`;
  run(entry, `${PREFIX}entry`, 'module');
  return run(`(async () => { ${script} })()`, 'script.js');
}
