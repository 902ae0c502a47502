// Markdown (GitHub flavour) to HTML that is safe to put into a page: raw HTML is shown as text, and a
// link or an image goes only to http, https, mailto or a relative address.

import { Marked } from 'marked';

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

// A browser decodes `&#9;` and skips blanks before it looks for a scheme, so nothing is decoded here: either the
// address starts with a known scheme, letter for letter, or what stands before its first / ? # has neither a colon
// nor an entity.
function isSafe(address) {
  return /^(?:https?|mailto):/i.test(address) || /^[^:&/?#]*(?:[/?#]|$)/.test(address);
}

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    // `false` hands the token to the stock renderer.
    link({ href, tokens }) {
      return isSafe(href) ? false : this.parser.parseInline(tokens);
    },
    image({ href, text }) {
      return isSafe(href) ? false : escapeHtml(text);
    },
  },
});

export function toHtml(markdown) {
  return marked.parse(markdown, { async: false });
}
