// Sells Markdown as HTML (marked), with input checked by zod.
import { post, Refusal } from 'coinslot';
import { marked } from 'marked';
import * as z from 'zod';

const Document = z.object({
  title: z.string().min(1).max(80),
  text: z.string().max(100_000).default(''),
  tags: z.array(z.enum(['draft', 'final'])).max(2).default([]),
});

post(
  '/html',
  { price: '0.001', summary: 'Markdown as HTML', body: Document, mimeType: 'text/html' },
  ({ body }) => `<h1>${body.title}</h1>\n${body.tags.map((tag) => `<b>${tag}</b>`).join('')}${marked.parse(body.text)}`,
);
