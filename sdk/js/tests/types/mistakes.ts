// What the types refuse.
import { get, post } from 'coinslot';
import * as z from 'zod';

// @ts-expect-error: no price
get('/a', {}, () => 'x');
// @ts-expect-error: a price is text
get('/a', { price: 0.01 }, () => 'x');
// @ts-expect-error: two prices
get('/a', { price: '0.01', free: true }, () => 'x');
// @ts-expect-error: no quote
get('/a', { quoted: '0.01' }, () => 'x');
// @ts-expect-error: a GET request has no body
get('/a', { price: '0.01', body: z.object({}) }, () => 'x');
// @ts-expect-error: nothing is returned
get('/a', { price: '0.01' }, () => {});
// @ts-expect-error: there is no such parameter
get('/a/{id}', { price: '0.01' }, ({ path }) => path.key);
// @ts-expect-error: the answer does not fit
post('/a', { price: '0.01', returns: z.object({ n: z.number() }) }, () => ({ n: 'x' }));
// @ts-expect-error: a quote must not wait
post('/a', { quoted: '1', quote: async () => '1' }, () => 'x');
// @ts-expect-error: there is no document
void document;
// @ts-expect-error: there is no process
void process;
