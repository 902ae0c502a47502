// Server-sent events, each sent as soon as it is made. Such an answer is paid before it begins.
//
//   coinslot pay 'http://127.0.0.1:8402/countdown?start=3'
import { get } from 'coinslot';

const Query = {
  type: 'object',
  properties: { start: { type: 'integer', minimum: 1, maximum: 60, default: 3 } },
} as const;

get('/countdown', { price: '0.002', upfront: true, summary: 'Counts down', query: Query }, async function* ({ query }) {
  for (let seconds = query.start; seconds > 0; seconds--) {
    yield { event: 'tick', data: { seconds } };
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  yield { event: 'end', data: 'lift-off' };
});
