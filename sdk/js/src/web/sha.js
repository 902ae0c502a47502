// Implements SHA-1, SHA-256, SHA-384, SHA-512 (FIPS 180-4) and HMAC (RFC 2104), over whole messages.

// The first 32 bits of the fractional part of a root of a prime, or the next 32 bits, exactly.
function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n);
  return found;
}

// floor(frac(prime ** (1/root)) * 2**64): the integer root of prime * 2**(64*root), modulo 2**64.
function rootBits(prime, root) {
  const scaled = BigInt(prime) << BigInt(64 * root);
  let low = 0n;
  let high = 1n << 72n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** BigInt(root) <= scaled) low = middle;
    else high = middle - 1n;
  }
  return low & ((1n << 64n) - 1n);
}

const halves = (values) => Int32Array.from(values.flatMap((v) => [Number(v >> 32n) | 0, Number(v & 0xffffffffn) | 0]));
const PRIMES = primes(80);
const CUBE = PRIMES.map((prime) => rootBits(prime, 3));
const K512 = halves(CUBE);
const K256 = K512.filter((_, i) => i % 2 === 0 && i < 128);
const SQUARE = PRIMES.slice(0, 16).map((prime) => rootBits(prime, 2));
const START_512 = halves(SQUARE.slice(0, 8));
const START_384 = halves(SQUARE.slice(8));
const START_256 = START_512.filter((_, i) => i % 2 === 0);
const START_1 = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);

// The message, one bit, zeros, and its length in bits, in whole blocks.
function padded(message, block) {
  const lengthBytes = block / 8;
  const size = Math.ceil((message.length + 1 + lengthBytes) / block) * block;
  const out = new Uint8Array(size);
  out.set(message);
  out[message.length] = 0x80;
  const view = new DataView(out.buffer);
  view.setUint32(size - 8, Math.floor(message.length / 2 ** 29));
  view.setUint32(size - 4, (message.length << 3) >>> 0);
  return view;
}

function bigEndian(words, bytes) {
  const view = new DataView(new ArrayBuffer(words.length * 4));
  words.forEach((word, i) => view.setInt32(i * 4, word));
  return new Uint8Array(view.buffer, 0, bytes);
}

function sha1(message) {
  const view = padded(message, 64);
  const state = START_1.slice();
  const w = new Int32Array(80);
  for (let at = 0; at < view.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + i * 4);
    for (let i = 16; i < 80; i++) {
      const x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
      w[i] = (x << 1) | (x >>> 31);
    }
    let [a, b, c, d, e] = state;
    for (let i = 0; i < 80; i++) {
      const f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      const k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      const next = (((a << 5) | (a >>> 27)) + f + e + k + w[i]) | 0;
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
  }
  return bigEndian(state, 20);
}

function sha256(message) {
  const view = padded(message, 64);
  const state = START_256.slice();
  const w = new Int32Array(64);
  for (let at = 0; at < view.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + i * 4);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const first = (h + s1 + ((e & f) ^ (~e & g)) + K256[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + second) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => (state[i] += value));
  }
  return bigEndian(state, 32);
}

// SHA-512 on pairs of 32 bits: `hi` and `lo` of each 64-bit word are neighbours in one array.
function sha512(message, start, bytes) {
  const view = padded(message, 128);
  const state = start.slice();
  const w = new Int32Array(160);
  const v = new Int32Array(16);
  for (let at = 0; at < view.byteLength; at += 128) {
    for (let i = 0; i < 32; i++) w[i] = view.getInt32(at + i * 4);
    for (let i = 32; i < 160; i += 2) schedule(w, i);
    v.set(state);
    for (let i = 0; i < 160; i += 2) round(v, K512[i], K512[i + 1], w[i], w[i + 1]);
    for (let i = 0; i < 16; i += 2) {
      const lo = (state[i + 1] >>> 0) + (v[i + 1] >>> 0);
      state[i] = state[i] + v[i] + (lo > 0xffffffff ? 1 : 0);
      state[i + 1] = lo;
    }
  }
  return bigEndian(state, bytes);
}

function schedule(w, i) {
  const xh = w[i - 30];
  const xl = w[i - 29];
  const yh = w[i - 4];
  const yl = w[i - 3];
  const s0h = ((xh >>> 1) | (xl << 31)) ^ ((xh >>> 8) | (xl << 24)) ^ (xh >>> 7);
  const s0l = ((xl >>> 1) | (xh << 31)) ^ ((xl >>> 8) | (xh << 24)) ^ ((xl >>> 7) | (xh << 25));
  const s1h = ((yh >>> 19) | (yl << 13)) ^ ((yl >>> 29) | (yh << 3)) ^ (yh >>> 6);
  const s1l = ((yl >>> 19) | (yh << 13)) ^ ((yh >>> 29) | (yl << 3)) ^ ((yl >>> 6) | (yh << 26));
  const lo = (w[i - 31] >>> 0) + (s0l >>> 0) + (w[i - 13] >>> 0) + (s1l >>> 0);
  w[i + 1] = lo;
  w[i] = w[i - 32] + s0h + w[i - 14] + s1h + Math.floor(lo / 0x100000000);
}

function round(v, kh, kl, wh, wl) {
  // By index: an array pattern runs the iterator protocol, which costs more than the arithmetic.
  const ah = v[0];
  const al = v[1];
  const bh = v[2];
  const bl = v[3];
  const ch = v[4];
  const cl = v[5];
  const eh = v[8];
  const el = v[9];
  const fh = v[10];
  const fl = v[11];
  const gh = v[12];
  const gl = v[13];
  const s1h = ((eh >>> 14) | (el << 18)) ^ ((eh >>> 18) | (el << 14)) ^ ((el >>> 9) | (eh << 23));
  const s1l = ((el >>> 14) | (eh << 18)) ^ ((el >>> 18) | (eh << 14)) ^ ((eh >>> 9) | (el << 23));
  const choiceH = (eh & fh) ^ (~eh & gh);
  const choiceL = (el & fl) ^ (~el & gl);
  const lo1 = (v[15] >>> 0) + (s1l >>> 0) + (choiceL >>> 0) + (kl >>> 0) + (wl >>> 0);
  const hi1 = (v[14] + s1h + choiceH + kh + wh + Math.floor(lo1 / 0x100000000)) | 0;
  const s0h = ((ah >>> 28) | (al << 4)) ^ ((al >>> 2) | (ah << 30)) ^ ((al >>> 7) | (ah << 25));
  const s0l = ((al >>> 28) | (ah << 4)) ^ ((ah >>> 2) | (al << 30)) ^ ((ah >>> 7) | (al << 25));
  const majorH = (ah & bh) ^ (ah & ch) ^ (bh & ch);
  const majorL = (al & bl) ^ (al & cl) ^ (bl & cl);
  const lo2 = (lo1 >>> 0) + (s0l >>> 0) + (majorL >>> 0);
  const hi2 = hi1 + s0h + majorH + Math.floor(lo2 / 0x100000000);
  const loE = (v[7] >>> 0) + (lo1 >>> 0);
  const hiE = v[6] + hi1 + (loE > 0xffffffff ? 1 : 0);
  v.copyWithin(2, 0, 14);
  v[0] = hi2;
  v[1] = lo2;
  v[8] = hiE;
  v[9] = loE;
}

export const HASHES = {
  'SHA-1': { digest: sha1, block: 64, bytes: 20 },
  'SHA-256': { digest: sha256, block: 64, bytes: 32 },
  'SHA-384': { digest: (message) => sha512(message, START_384, 48), block: 128, bytes: 48 },
  'SHA-512': { digest: (message) => sha512(message, START_512, 64), block: 128, bytes: 64 },
};

function joined(a, b) {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

export function hmac({ digest, block }, key, message) {
  const padding = new Uint8Array(block);
  padding.set(key.length > block ? digest(key) : key);
  const inner = digest(
    joined(
      padding.map((byte) => byte ^ 0x36),
      message,
    ),
  );
  return digest(
    joined(
      padding.map((byte) => byte ^ 0x5c),
      inner,
    ),
  );
}
