// TextEncoder, TextDecoder, atob and btoa beside those of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atob as ourAtob, btoa as ourBtoa } from '../src/web/base64.js';
import { TextDecoder as Ours, TextEncoder as OurEncoder } from '../src/web/encoding.js';
import { TextDecoderStream, TextEncoderStream } from '../src/web/encoding-streams.js';
import { ReadableStream } from '../src/web/streams.js';
import { generator } from './support/random.js';

const PIECES = [
  'a',
  'é',
  'ß',
  '漢',
  '😀',
  '\ud800',
  '\udc00',
  '\ufeff',
  '\0',
  '\u07ff',
  '\u0800',
  '\uffff',
  '\u{10ffff}',
  'plain text ',
];

test('text is encoded as in Node', () => {
  const { text } = generator();
  for (let i = 0; i < 3_000; i++) {
    const given = text(PIECES, i % 50 === 0 ? 400 : 20);
    assert.deepEqual(new OurEncoder().encode(given), new TextEncoder().encode(given));
    const [ours, theirs] = [new Uint8Array(9), new Uint8Array(9)];
    assert.deepEqual(new OurEncoder().encodeInto(given, ours), new TextEncoder().encodeInto(given, theirs));
    assert.deepEqual(ours, theirs);
  }
});

// Bytes that are often nearly UTF-8.
function nearlyUtf8({ below, pick, bytes }) {
  const starts = [
    0x41, 0xc2, 0xc3, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0x80, 0xa0, 0xbf, 0x9f, 0x90, 0x8f, 0xbb, 0xc0,
  ];
  if (below(4) === 0) return bytes(20);
  return Uint8Array.from({ length: below(16) }, () => pick(starts));
}

test('bytes are decoded as in Node, whole and in pieces', () => {
  const random = generator(1);
  for (let i = 0; i < 30_000; i++) {
    const bytes = nearlyUtf8(random);
    const options = { ignoreBOM: random.below(2) === 0 };
    assert.equal(
      new Ours('utf-8', options).decode(bytes),
      new TextDecoder('utf-8', options).decode(bytes),
      String(bytes),
    );
    const [ours, theirs] = [new Ours('utf-8', options), new TextDecoder('utf-8', options)];
    const cut = random.below(bytes.length + 1);
    for (const decoder of [ours, theirs]) {
      decoder.text = decoder.decode(bytes.subarray(0, cut), { stream: true }) + decoder.decode(bytes.subarray(cut));
    }
    assert.equal(ours.text, theirs.text, `${bytes} cut at ${cut}`);
    const isBad = (Type) => {
      try {
        new Type('utf-8', { fatal: true }).decode(bytes);
        return false;
      } catch (error) {
        assert.ok(error instanceof TypeError);
        return true;
      }
    };
    assert.equal(isBad(Ours), isBad(TextDecoder), String(bytes));
  }
});

test('UTF-16 and windows-1252 are decoded as in Node', () => {
  const random = generator(2);
  for (let i = 0; i < 5_000; i++) {
    const bytes = Uint8Array.from({ length: random.below(12) }, () =>
      random.pick([0x41, 0xd8, 0xdc, 0xff, 0xfe, 0, 0x80, 0x9f]),
    );
    for (const label of ['utf-16le', 'utf-16be']) {
      assert.equal(new Ours(label).decode(bytes), new TextDecoder(label).decode(bytes), `${label} ${bytes}`);
    }
  }
  // Node 20 takes these for ISO 8859-1.
  assert.equal(new Ours('latin1').decode(Uint8Array.of(0x80, 0x99, 0x81, 0xe9)), '€™\x81é');
  assert.equal(new Ours('ISO-8859-1').encoding, 'windows-1252');
  assert.throws(() => new Ours('klingon'), /TextDecoder: the encoding "klingon" is none of utf-8, utf-16le/);
});

test('views and buffers are decoded alike', () => {
  const bytes = new TextEncoder().encode('xxgrüßexx');
  assert.equal(new Ours().decode(new DataView(bytes.buffer, 2, 7)), 'grüße');
  assert.equal(new Ours().decode(bytes.buffer), 'xxgrüßexx');
  assert.equal(new Ours().decode(), '');
  assert.throws(() => new Ours().decode('text'), TypeError);
});

test('a stream of bytes is decoded across chunks', async () => {
  const bytes = new TextEncoder().encode('漢字 😀 und Text');
  const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
  let text = '';
  for await (const part of ReadableStream.from(chunks).pipeThrough(new TextDecoderStream())) text += part;
  assert.equal(text, '漢字 😀 und Text');
  const back = [];
  const units = ['\ud83d', '\ude00', 'a'];
  for await (const part of ReadableStream.from(units).pipeThrough(new TextEncoderStream())) back.push(...part);
  assert.equal(new TextDecoder().decode(Uint8Array.from(back)), '😀a');
});

test('base64 is that of Node', () => {
  const { bytes, text } = generator(3);
  for (let i = 0; i < 3_000; i++) {
    const given = String.fromCharCode(...bytes(20));
    assert.equal(ourBtoa(given), btoa(given));
    assert.equal(ourAtob(btoa(given)), given);
    const wild = text(['A', 'b', '9', '+', '/', '=', ' ', '\n', '*', 'QQ', '=='], 8);
    const decode = (run) => {
      try {
        return run(wild);
      } catch (error) {
        return error.name;
      }
    };
    assert.equal(decode(ourAtob), decode(atob), JSON.stringify(wild));
  }
  assert.throws(() => ourBtoa('ü漢'), { name: 'InvalidCharacterError' });
});
