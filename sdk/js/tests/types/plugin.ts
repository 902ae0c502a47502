// What authors write, with the types that follow from it.
import { charge, config, del, get, plugin, post, put, Refusal, store, withJsonSchema } from 'coinslot';
import { Type } from '@sinclair/typebox';
import { type } from 'arktype';
import * as v from 'valibot';
import * as z from 'zod';
import * as mini from 'zod/mini';

// Fails to compile unless both types are the same.
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

plugin({ name: 'types', version: '1.0.0', onLoad: () => void config('key') });

get('/hello/{name}', { price: '0.001', summary: 'Says hello' }, ({ path }) => {
  same<typeof path, { name: string }>(true);
  return `Hello, ${path.name}!`;
});

get('/files/{area}/{*rest}', { free: true }, ({ path, query, body, receipt }) => {
  same<keyof typeof path, 'area' | 'rest'>(true);
  same<typeof body, undefined>(true);
  const q: string | string[] | undefined = query.anything;
  return [path.area, path.rest, q, receipt?.payer];
});

const Doc = z.object({ text: z.string(), tags: z.array(z.string()).default([]) });
post(
  '/shout/{n}',
  {
    quoted: '0.01',
    quote: ({ body, path }) => {
      same<typeof body, { text: string; tags: string[] }>(true);
      same<typeof path, { n: number }>(true);
      return (body.text.length * path.n * 1e-5).toFixed(5);
    },
    path: z.object({ n: z.int() }),
    body: Doc,
    returns: z.object({ shout: z.string() }),
  },
  async ({ body, path }) => {
    same<typeof path.n, number>(true);
    if (body.text === '') throw new Refusal(400, 'empty', 'send text');
    return { shout: body.text.toUpperCase() };
  },
);

post('/ark', { price: '1', body: type({ n: 'number', 'tag?': "'a' | 'b'" }) }, ({ body }) => {
  same<typeof body.n, number>(true);
  same<typeof body.tag, 'a' | 'b' | undefined>(true);
  return body.n;
});

post('/valibot', { price: '1', body: v.object({ n: v.optional(v.number(), 3) }) }, ({ body }) => {
  same<typeof body, { n: number }>(true);
  return body.n;
});

post(
  '/typebox',
  { price: '1', body: Type.Object({ n: Type.Integer(), s: Type.Optional(Type.String()) }) },
  ({ body }) => {
    same<typeof body.n, number>(true);
    return body.s ?? '';
  },
);

const small = mini.object({ n: mini.number() });
post('/mini', { price: '1', body: withJsonSchema(small, mini.toJSONSchema(small)) }, ({ body }) => {
  same<typeof body, { n: number }>(true);
  return body;
});

get(
  '/json',
  {
    price: '1',
    query: {
      type: 'object',
      properties: {
        n: { type: 'integer' },
        lang: { enum: ['en', 'de'], default: 'en' },
        list: { type: 'array', items: { type: 'string' } },
      },
      required: ['n'],
    },
  },
  ({ query }) => {
    same<typeof query.n, number>(true);
    same<typeof query.lang, 'en' | 'de'>(true);
    same<typeof query.list, string[] | undefined>(true);
    return query;
  },
);

put('/raw', { price: '1', body: 'bytes' }, ({ body }) => {
  same<typeof body, Uint8Array>(true);
  return body;
});
put('/text', { price: '1', body: 'text' }, ({ body }) => {
  same<typeof body, string>(true);
  return body;
});

get('/ticks', { price: '0.002', upfront: true }, async function* () {
  yield { event: 'tick', data: { i: 0 } };
});

get(
  '/upstream',
  { upTo: '0.05', check: ({ headers }) => void headers.get('content-type') },
  async ({ config, request }) => {
    const response = await fetch(new URL('/x', config('upstream') ?? 'https://a.b'), {
      signal: AbortSignal.timeout(1_000),
    });
    charge('0.02');
    store.json.set('last', await response.json());
    const count = store.increment(request.url);
    const key = await crypto.subtle.importKey('raw', new Uint8Array(8), { name: 'HMAC', hash: 'SHA-256' }, false, [
      'sign',
    ]);
    const signature = await crypto.subtle.sign('HMAC', key, new TextEncoder().encode('x'));
    for await (const text of response.clone().body!.pipeThrough(new TextDecoderStream())) console.log(text);
    return Response.json({ count, size: signature.byteLength }, { headers: { 'x-a': 'b' } });
  },
);

del('/things/{id}', { free: true }, ({ path }) => (path.id === '0' ? null : new Response(null, { status: 204 })));
