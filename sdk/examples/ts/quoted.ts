// A price that depends on the request: a tenth of a cent for each thousand characters, or part of them.
//
//   coinslot pay http://127.0.0.1:8402/redact -d '{"text": "Write to ada@example.com"}'
import { post } from 'coinslot';

const Document = {
  type: 'object',
  properties: { text: { type: 'string', minLength: 1, maxLength: 50_000 } },
  required: ['text'],
} as const;

/** Runs before the payment: without network, and within 50 ms. */
function byLength({ body }: { body: { text: string } }) {
  return `0.${String(Math.ceil(body.text.length / 1_000)).padStart(3, '0')}`;
}

post(
  '/redact',
  { quoted: '0.050', quote: byLength, summary: 'Removes e-mail addresses from a text', body: Document },
  ({ body }) => body.text.replace(/[^\s@]+@[^\s@]+\.\w+/g, '[e-mail]') + '\n',
);
