// Turns any text into a URL slug: lower-case ASCII letters and digits, and one separator between words.

import anyAscii from 'any-ascii';

// Where a language's own way to write its letters in ASCII differs from the general table.
const LANGUAGES = {
  en: {},
  de: { '\u00e4': 'ae', '\u00f6': 'oe', '\u00fc': 'ue' },
  da: { '\u00e5': 'aa', '\u00f8': 'oe' },
  uk: { '\u0433': 'h', '\u0438': 'y' },
};

const SIGNS = { '&': ' and ', '@': ' at ', '%': ' percent ', '\u20ac': ' euro ', "'": '', '\u2019': '' };

export const languages = Object.keys(LANGUAGES);

// `max` counts characters. No word is cut in half, unless the first alone is longer than `max`.
export function slugify(text, { separator, max, lang }) {
  const own = { ...SIGNS, ...LANGUAGES[lang] };
  const ascii = Array.from(text.toLowerCase(), (letter) => own[letter] ?? anyAscii(letter)).join('');
  let slug = '';
  for (const word of ascii.toLowerCase().split(/[^a-z0-9]+/)) {
    if (word === '') continue;
    const longer = slug === '' ? word : slug + separator + word;
    if (longer.length > max) return slug === '' ? word.slice(0, max) : slug;
    slug = longer;
  }
  return slug;
}
