// Makes the manifest: what this plugin sells, as the host reads it.

import { endpoints, seal } from './endpoint.js';
import { info } from './info.js';
import { inputSchema } from './schema.js';
import { encodeUtf8 } from './web/encoding.js';

const SCHEMA_BYTES = 65_536;

function schemaText(at, what, json) {
  if (json === undefined) return null;
  const text = JSON.stringify(json);
  const { length } = encodeUtf8(text);
  if (length > SCHEMA_BYTES) {
    throw new TypeError(`${at}: the ${what} schema has ${length} bytes; the limit is ${SCHEMA_BYTES}`);
  }
  return text;
}

function withExamples(json, examples) {
  if (examples === undefined) return json;
  return { ...(json ?? { type: 'object' }), examples: Array.isArray(examples) ? examples : [examples] };
}

function describeEndpoint(endpoint) {
  const { at, method, path, price, summary, description, mimeType, headers, upfront, pass, names, schemas, examples } =
    endpoint;
  const input = inputSchema({ names, ...schemas });
  return {
    method,
    path,
    price,
    summary,
    description,
    mimeType,
    inputSchema: schemaText(at, 'input', withExamples(input, examples)),
    outputSchema: schemaText(at, 'output', schemas.returns?.json),
    quoteHeaders: headers,
    extensions: [
      ...(upfront ? [['payment-flow', 'upfront']] : []),
      ...(pass === undefined ? [] : [['pass', pass]]),
      // `quote` validates with the author's own schema, whose rules JSON Schema may not tell.
      ...(input === undefined ? [] : [['input-check', 'plugin']]),
    ],
  };
}

// The manifest, made once when the plugin is built, so that the author reads of a mistake at once.
export function makeManifest() {
  seal();
  if (endpoints.length === 0) {
    throw new TypeError(
      "this plugin has no endpoint: import { get } from 'coinslot', and write get('/hello', { price: '0.001' }, () => 'hello')",
    );
  }
  return {
    name: info.name,
    version: info.version,
    endpoints: endpoints.map(describeEndpoint),
    extensions: [],
  };
}
