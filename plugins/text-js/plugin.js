// The plugin: its routes and prices (`manifest`), refusals before payment (`quote`), and answers (the `fetch` event).
// The host does everything about money.

import { toHtml } from './markdown.js';
import { languages, slugify } from './slug.js';

const PRICE = '0.001';
const MAX_TEXT = 2_000; // characters of a title
const MAX_MARKDOWN = 65_536; // bytes of a document: the engine has no JIT, and a second of CPU time

class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    // What `result<quotation, refusal>` of the WIT carries as its error.
    this.payload = { status, code, message, extensions: [] };
  }
}

function slugInput(query) {
  const params = new URLSearchParams(query ?? '');
  const text = params.get('text') ?? '';
  const separator = params.get('separator') ?? '-';
  const max = params.get('max') ?? '80';
  const lang = params.get('lang') ?? 'en';
  if (text.trim() === '') {
    throw new Refusal(400, 'missing_text', 'Say what to turn into a slug: ?text=Hello%20World');
  }
  if (text.length > MAX_TEXT) {
    throw new Refusal(400, 'text_too_long', `Send at most ${MAX_TEXT} characters in text.`);
  }
  if (!['-', '_', '.'].includes(separator)) {
    throw new Refusal(400, 'bad_separator', 'Use one of - _ . as separator.');
  }
  if (!/^[0-9]{1,3}$/.test(max) || Number(max) < 1 || Number(max) > 200) {
    throw new Refusal(400, 'bad_max', 'max is a whole number of characters from 1 to 200.');
  }
  if (!languages.includes(lang)) {
    throw new Refusal(400, 'unknown_lang', `lang is one of ${languages.join(', ')}.`);
  }
  const input = { text, separator, max: Number(max), lang };
  if (slugify(input.text, input) === '') {
    throw new Refusal(422, 'nothing_left', 'This text has no letter or digit to make a slug of.');
  }
  return input;
}

function markdownInput(body) {
  if (body.length > MAX_MARKDOWN) {
    throw new Refusal(413, 'document_too_long', `Send at most ${MAX_MARKDOWN} bytes of Markdown.`);
  }
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new Refusal(400, 'not_utf8', 'Send the Markdown as UTF-8.');
  }
  if (text.trim() === '') {
    throw new Refusal(400, 'empty_document', 'Send the Markdown as the body of the request.');
  }
  return text;
}

const routes = {
  '/js/slug': {
    method: 'GET',
    summary: 'A URL slug of any text',
    description:
      'Lower-case ASCII words joined by a separator. Every script of Unicode is ' +
      'transliterated, and no word is cut in half.',
    mimeType: 'application/json',
    inputSchema: {
      type: 'object',
      required: ['query'],
      properties: {
        query: {
          type: 'object',
          required: ['text'],
          properties: {
            text: { type: 'string', minLength: 1, maxLength: MAX_TEXT, examples: ['Hello World'] },
            separator: { enum: ['-', '_', '.'], default: '-' },
            max: { type: 'integer', minimum: 1, maximum: 200, default: 80 },
            lang: { enum: languages, default: 'en' },
          },
        },
      },
    },
    outputSchema: {
      type: 'object',
      required: ['slug'],
      properties: { slug: { type: 'string' } },
    },
    input: ({ query }) => slugInput(query),
    answer: (input) => Response.json({ slug: slugify(input.text, input) }),
  },
  '/js/markdown': {
    method: 'POST',
    summary: 'Markdown to safe HTML',
    description:
      'GitHub-flavoured Markdown in, an HTML fragment out. Raw HTML in the document is shown as text, ' +
      'and links with schemes other than http, https and mailto are dropped.',
    mimeType: 'text/html',
    inputSchema: {
      type: 'object',
      required: ['body'],
      properties: {
        body: {
          type: 'string',
          minLength: 1,
          maxLength: MAX_MARKDOWN,
          contentMediaType: 'text/markdown',
          examples: ['# Hello\n\nThis is *safe*.'],
        },
      },
    },
    outputSchema: { type: 'string', contentMediaType: 'text/html' },
    input: ({ body }) => markdownInput(body),
    answer: (markdown) =>
      new Response(toHtml(markdown), { headers: { 'content-type': 'text/html; charset=utf-8' } }),
  },
};

export const manifest = {
  describe: () => ({
    name: 'text-js',
    version: '0.1.0',
    endpoints: Object.entries(routes).map(([path, route]) => ({
      method: route.method,
      path,
      price: { tag: 'exact', val: PRICE },
      summary: route.summary,
      description: route.description,
      mimeType: route.mimeType,
      inputSchema: JSON.stringify(route.inputSchema),
      outputSchema: JSON.stringify(route.outputSchema),
      quoteHeaders: [],
      extensions: [],
    })),
    extensions: [],
  }),
};

export const quote = {
  quote(request) {
    routes[request.route].input(request);
    return { price: { tag: 'amount', val: PRICE }, extensions: [] };
  },
};

async function handle(request) {
  const { pathname, search } = new URL(request.url);
  const route = routes[pathname];
  const body = request.method === 'POST' ? new Uint8Array(await request.arrayBuffer()) : new Uint8Array();
  try {
    return route.answer(route.input({ query: search.slice(1), body }));
  } catch (error) {
    // A status of 400 or more costs the caller nothing.
    if (!(error instanceof Refusal)) throw error;
    const { status, code, message } = error.payload;
    return Response.json({ error: code, message }, { status });
  }
}

addEventListener('fetch', (event) => event.respondWith(handle(event.request)));
