// Exports the interfaces of a component of tests, whose world is a plugin's. Any request runs the tests, and the
// answer is one report a line, as JSON. `?only=TEXT` chooses the tests whose names have the text, and `timeout=MS`
// ends one that waits.

// First the global scope, which the plugin's libraries need, then the plugin, which may await at its top level.
import './coinslot.js';
import 'coinslot:entry';

import { leaveBuild } from './phase.js';
import { run } from './test.js';
import { makeResponse } from './wasi-http.js';
import { beginRequest } from './web/timers.js';
import { URLSearchParams } from './web/url.js';

const MIME_TYPE = 'application/x-ndjson';

export const manifest = {
  describe() {
    leaveBuild();
    const endpoint = {
      method: 'POST',
      path: '/tests',
      price: { tag: 'free' },
      summary: 'Runs the tests',
      description: '',
      mimeType: MIME_TYPE,
      inputSchema: null,
      outputSchema: null,
      quoteHeaders: [],
      extensions: [],
    };
    return { name: 'tests', version: '0.0.0', endpoints: [endpoint], extensions: [] };
  },
};

export const quote = {
  quote() {
    leaveBuild();
    return { price: { tag: 'free' }, extensions: [] };
  },
};

async function* lines(options) {
  for await (const report of run(options)) yield `${JSON.stringify(report)}\n`;
}

export const handler = {
  async handle(request) {
    leaveBuild();
    const complete = beginRequest();
    const [, query = ''] = (request.getPathWithQuery() ?? '').split('?', 2);
    const options = new URLSearchParams(query);
    const [only, timeout] = [options.get('only') ?? '', Number(options.get('timeout') ?? 30_000)];
    return makeResponse(200, [['content-type', MIME_TYPE]], lines({ only, timeout }), complete);
  },
};
