import { get, post, Refusal } from 'coinslot';

get('/{{name}}', { free: true, summary: 'Says what is sold here' }, () => 'POST a text to /{{name}}/count\n');

const Text = {
  type: 'object',
  properties: { text: { type: 'string', minLength: 1, maxLength: 10_000 } },
  required: ['text'],
};

const Count = {
  type: 'object',
  properties: { words: { type: 'integer' }, longest: { type: 'string' } },
  required: ['words', 'longest'],
};

post('/{{name}}/count', {
  price: '0.001',
  summary: 'Counts the words of a text',
  body: Text,
  returns: Count,
}, ({ body }) => {
  const words = body.text.split(/\s+/).filter(Boolean);
  if (words.length === 0) throw new Refusal(400, 'no_words', 'Send a text with at least one word.');
  return { words: words.length, longest: words.reduce((a, b) => (b.length > a.length ? b : a)) };
});
