// An upload that is read piece by piece, so that its size does not matter to the plugin's memory.
//
//   coinslot pay http://127.0.0.1:8402/crc32 -d @video.mp4 -H 'content-type: application/octet-stream'
import { post, Refusal } from 'coinslot';

// Made once, when the plugin is built, and part of it from then on.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

const Checksum = {
  type: 'object',
  properties: { bytes: { type: 'integer' }, crc32: { type: 'string' } },
  required: ['bytes', 'crc32'],
} as const;

post('/crc32', { price: '0.002', summary: 'The CRC-32 of a file', returns: Checksum }, async ({ request }) => {
  let crc = 0xffffffff;
  let bytes = 0;
  for await (const piece of request.body ?? []) {
    for (const byte of piece) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
    bytes += piece.length;
  }
  if (bytes === 0) throw new Refusal(400, 'empty_file', 'send the file as the body');
  return { bytes, crc32: ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0') };
});
