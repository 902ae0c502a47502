// Random inputs from a seed, so that a failure can be repeated: SEED=7 tests/run.

const seed = Number(process.env.SEED ?? 1);

export function generator(offset = 0) {
  let state = (seed * 2654435761 + offset * 40503) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  const pick = (list) => list[below(list.length)];
  const text = (pieces, most) => Array.from({ length: below(most) }, () => pick(pieces)).join('');
  const bytes = (most) => Uint8Array.from({ length: below(most) }, () => below(256));
  return { next, below, pick, text, bytes };
}
