// An answer of bytes: a tone as a sound file (WAV, 16 bits, mono).
//
//   coinslot pay 'http://127.0.0.1:8402/tone?hertz=440' > tone.wav
import { get } from 'coinslot';

const RATE = 8_000;

const Query = {
  type: 'object',
  properties: {
    hertz: { type: 'integer', minimum: 20, maximum: 4_000, default: 440 },
    milliseconds: { type: 'integer', minimum: 10, maximum: 5_000, default: 250 },
  },
} as const;

get('/tone', { price: '0.001', summary: 'A tone as a WAV file', query: Query, mimeType: 'audio/wav' }, ({ query }) => {
  const samples = Math.floor((RATE * query.milliseconds) / 1_000);
  const file = new DataView(new ArrayBuffer(44 + 2 * samples));
  const text = (at: number, word: string) => [...word].forEach((c, i) => file.setUint8(at + i, c.charCodeAt(0)));
  text(0, 'RIFF');
  file.setUint32(4, 36 + 2 * samples, true);
  text(8, 'WAVEfmt ');
  file.setUint32(16, 16, true); // bytes of this part
  file.setUint16(20, 1, true); // PCM
  file.setUint16(22, 1, true); // channels
  file.setUint32(24, RATE, true);
  file.setUint32(28, 2 * RATE, true); // bytes in a second
  file.setUint16(32, 2, true); // bytes of a sample
  file.setUint16(34, 16, true); // bits of a sample
  text(36, 'data');
  file.setUint32(40, 2 * samples, true);
  for (let i = 0; i < samples; i++) {
    file.setInt16(44 + 2 * i, 12_000 * Math.sin((2 * Math.PI * query.hertz * i) / RATE), true);
  }
  return new Uint8Array(file.buffer);
});
