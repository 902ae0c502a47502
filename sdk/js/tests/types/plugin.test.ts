// A test of a plugin, as `coinslot test` runs it.
import {
  afterEach,
  beforeEach,
  call,
  configure,
  describe,
  events,
  expect,
  mockFetch,
  price,
  test,
} from 'coinslot/test';
import './plugin.ts';

describe('shout', () => {
  beforeEach(() => configure({ upstream: 'https://a.b' }));
  afterEach(() => {});

  test('is priced by length', async () => {
    expect(await price('POST /shout/1', { body: { text: 'hey' } })).toBe('0.00003');
    const answer = await call('POST /shout/1', { body: { text: 'hey' }, receipt: { payer: '0xabc' } });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ shout: expect.any(String) });
    expect(answer.charged).not.toBe('0');
  });

  test.each([
    [1, 'a'],
    [2, 'b'],
  ] as const)('%d %s', async (n, text) => {
    expect(n + text.length).toBeGreaterThan(1);
    await expect(call(`POST /shout/${n}`)).resolves.toHaveProperty('status', 400);
  });
});

test('streams', async () => {
  mockFetch((request) => Response.json({ url: request.url }));
  expect(await events(await call('GET /ticks'))).toHaveLength(1);
});
