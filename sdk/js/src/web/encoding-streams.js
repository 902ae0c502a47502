// Implements TextEncoderStream and TextDecoderStream (https://encoding.spec.whatwg.org).

import { encodeUtf8, TextDecoder } from './encoding.js';
import { TransformStream } from './streams.js';

export class TextDecoderStream extends TransformStream {
  #decoder;

  constructor(label, options) {
    const decoder = new TextDecoder(label, options);
    super({
      transform(chunk, controller) {
        const text = decoder.decode(chunk, { stream: true });
        if (text !== '') controller.enqueue(text);
      },
      flush(controller) {
        const text = decoder.decode();
        if (text !== '') controller.enqueue(text);
      },
    });
    this.#decoder = decoder;
  }

  get encoding() {
    return this.#decoder.encoding;
  }

  get fatal() {
    return this.#decoder.fatal;
  }

  get ignoreBOM() {
    return this.#decoder.ignoreBOM;
  }
}

export class TextEncoderStream extends TransformStream {
  constructor() {
    let lead = '';
    super({
      transform(chunk, controller) {
        let text = lead + String(chunk);
        const last = text.charCodeAt(text.length - 1);
        lead = last >= 0xd800 && last < 0xdc00 ? text.at(-1) : '';
        text = lead === '' ? text : text.slice(0, -1);
        if (text !== '') controller.enqueue(encodeUtf8(text));
      },
      flush(controller) {
        if (lead !== '') controller.enqueue(encodeUtf8(lead));
      },
    });
  }

  get encoding() {
    return 'utf-8';
  }
}
