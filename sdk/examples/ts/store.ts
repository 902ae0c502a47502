// Short links: who makes one pays, who follows one does not. They are kept in the plugin's key-value store, which the
// operator grants:
//
//   [plugin.store]
//   keyvalue = true
//
//   coinslot pay http://127.0.0.1:8402/links -d '{"url": "https://example.com/a/long/way"}'
import { get, post, Refusal, store } from 'coinslot';

const Link = {
  type: 'object',
  properties: { url: { type: 'string', pattern: '^https?://[!-~]+$', maxLength: 2_000 } },
  required: ['url'],
} as const;

const links = store.bucket('links');
const visits = store.bucket('visits');

// Paid first, because it has a side effect: without the payment nothing is kept.
post('/links', { price: '0.005', upfront: true, summary: 'Makes a short link', body: Link }, ({ body }) => {
  const code = store.increment('links').toString(16); // atomic: no two links have the same
  links.set(code, body.url);
  return { code, path: `/links/${code}` };
});

get('/links/{code}', { free: true, summary: 'Leads to the page behind a short link' }, ({ path }) => {
  const url = links.get(path.code);
  if (url === undefined) throw new Refusal(404, 'no_such_link', 'make a link with POST /links');
  visits.increment(path.code);
  return new Response(null, { status: 303, headers: { location: url } });
});

get('/links/{code}/visits', { price: '0.001', summary: 'Counts the visits of a short link' }, ({ path }) => {
  if (!links.has(path.code)) throw new Refusal(404, 'no_such_link', 'make a link with POST /links');
  return { visits: Number(visits.get(path.code) ?? 0) };
});
