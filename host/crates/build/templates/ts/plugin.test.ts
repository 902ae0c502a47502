import { call, expect, test } from 'coinslot/test';
import './plugin.ts';

test('counts the words of a text', async () => {
  const answer = await call('POST /{{name}}/count', { body: { text: 'one three' } });
  expect(await answer.json()).toEqual({ words: 2, longest: 'three' });
  expect(answer.charged).toBe('0.001');
});

test('charges nothing for a text without words', async () => {
  const answer = await call('POST /{{name}}/count', { body: { text: ' ' } });
  expect(answer.status).toBe(400);
  expect(answer.charged).toBe('0');
});
