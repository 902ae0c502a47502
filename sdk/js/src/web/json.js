// Guards the engine's parser of JSON, which recurses: a text that nests deeply would use up the stack, which ends the
// instance and cannot be caught.

const { parse } = JSON;

// The deepest JSON that `JSON.parse` reads, in arrays and objects.
export const DEEPEST = 512;

// The place of the quotation mark that ends a string, or the end of the text.
function endOfString(text, start) {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

// Whether a character occurs more than `most` times. The engine's own search is quicker than a loop over all characters.
function occursMore(text, character, most) {
  let at = -1;
  for (let count = 0; count <= most; count++) {
    at = text.indexOf(character, at + 1);
    if (at < 0) return false;
  }
  return true;
}

// Whether the arrays and objects of a text nest deeper than `most`, as far as the text is JSON.
export function isDeeper(text, most) {
  const half = most >> 1; // one of the brackets occurs more often than this in a text that is deeper
  if (!occursMore(text, '[', half) && !occursMore(text, '{', half)) return false;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) i = endOfString(text, i);
    else if (code === 0x5b || code === 0x7b) depth++;
    else if (code === 0x5d || code === 0x7d) depth--;
    if (depth > most) return true;
  }
  return false;
}

// `JSON.parse` that throws where the stack would not be enough, as engines with a guarded stack do.
export function parseJson(text, reviver) {
  const whole = String(text);
  if (isDeeper(whole, DEEPEST)) throw new RangeError(`the JSON nests deeper than ${DEEPEST} levels`);
  return parse(whole, reviver);
}
Object.defineProperty(parseJson, 'name', { value: 'parse' });
