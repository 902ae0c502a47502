// What tests/bench/costs measures: the same three endpoints in each language.
import { get, post } from 'coinslot';

get('/free', { free: true, summary: 'A small answer' }, () => ({ hello: 'world' }));

post('/paid', { price: '0.01', summary: 'A small answer, paid' }, () => 'as asked');

get('/wait', { free: true, summary: 'Waits' }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  return 'waited';
});
