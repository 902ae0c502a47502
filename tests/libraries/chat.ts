// Sells answers of a model, through the OpenAI client. The host adds the API key.
import { config, post } from 'coinslot';
import OpenAI from 'openai';
import * as z from 'zod';

const Question = z.object({ question: z.string().min(1).max(1_000) });

// The client wants a key; the operator's takes its place on the way.
const client = () => new OpenAI({ apiKey: 'the host adds it', baseURL: config('api'), maxRetries: 0 });

post('/ask', { price: '0.01', body: Question, returns: z.object({ answer: z.string() }) }, async ({ body }) => {
  const completion = await client().chat.completions.create({
    model: 'small',
    messages: [{ role: 'user', content: body.question }],
  });
  return { answer: completion.choices[0]?.message.content ?? '' };
});

post('/ask/stream', { price: '0.01', upfront: true, body: Question }, async function* ({ body }) {
  const stream = await client().chat.completions.create({
    model: 'small',
    messages: [{ role: 'user', content: body.question }],
    stream: true,
  });
  for await (const part of stream) yield part.choices[0]?.delta.content ?? '';
});
