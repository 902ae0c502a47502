// Writes labels of international domain names in ASCII by Punycode (RFC 3492).

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
const SKEW = 38;
const DAMP = 700;

function adapt(delta, count, isFirst) {
  let value = isFirst ? Math.floor(delta / DAMP) : delta >> 1;
  value += Math.floor(value / count);
  let k = 0;
  for (; value > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) value = Math.floor(value / (BASE - T_MIN));
  return k + Math.floor(((BASE - T_MIN + 1) * value) / (value + SKEW));
}

const threshold = (k, bias) => (k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias);
const digit = (value) => String.fromCharCode(value < 26 ? value + 97 : value + 22);

function encode(label) {
  const codes = Array.from(label, (char) => char.codePointAt(0));
  let out = label.replace(/[^\x00-\x7f]/gu, '');
  const basic = out.length;
  let handled = basic;
  if (basic > 0) out += '-';
  let n = 128;
  let delta = 0;
  let bias = 72;
  while (handled < codes.length) {
    const next = Math.min(...codes.filter((code) => code >= n));
    delta += (next - n) * (handled + 1);
    n = next;
    for (const code of codes) {
      if (code < n) delta++;
      if (code !== n) continue;
      let q = delta;
      for (let k = BASE; ; k += BASE) {
        const t = threshold(k, bias);
        if (q < t) break;
        out += digit(t + ((q - t) % (BASE - t)));
        q = Math.floor((q - t) / (BASE - t));
      }
      out += digit(q);
      bias = adapt(delta, handled + 1, handled === basic);
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return out;
}

function decode(text) {
  const split = text.lastIndexOf('-');
  const codes = split > 0 ? Array.from(text.slice(0, split), (char) => char.codePointAt(0)) : [];
  let n = 128;
  let i = 0;
  let bias = 72;
  for (let at = split > 0 ? split + 1 : 0; at < text.length;) {
    const before = i;
    let weight = 1;
    for (let k = BASE; ; k += BASE) {
      const code = text.charCodeAt(at++);
      const value = code >= 97 && code <= 122 ? code - 97 : code >= 48 && code <= 57 ? code - 22 : NaN;
      if (Number.isNaN(value)) throw new RangeError('not Punycode');
      i += value * weight;
      const t = threshold(k, bias);
      if (value < t) break;
      weight *= BASE - t;
    }
    bias = adapt(i - before, codes.length + 1, before === 0);
    n += Math.floor(i / (codes.length + 1));
    i %= codes.length + 1;
    if (n > 0x10ffff) throw new RangeError('not Punycode');
    codes.splice(i++, 0, n);
  }
  return String.fromCodePoint(...codes);
}

// The ASCII form of a label. Throws if it has the prefix of one and is none.
export function toAsciiLabel(label) {
  if (/^[\x00-\x7f]*$/.test(label)) {
    if (!label.startsWith('xn--')) return label;
    const decoded = decode(label.slice(4));
    if (/^[\x00-\x7f]*$/.test(decoded) || encode(decoded) !== label.slice(4)) throw new RangeError('not Punycode');
    return label;
  }
  return `xn--${encode(label)}`;
}
