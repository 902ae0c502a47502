// Refuses a request: the answer has a status of 400 or more, and costs its caller nothing.

const CODE = /^[a-z0-9_]{1,64}$/;
const MESSAGE = 2_000; // characters

export class Refusal extends Error {
  // `more` has further fields of the answer, beside `error` and `message`.
  constructor(status, code, message, more = {}) {
    super(String(message).slice(0, MESSAGE).toWellFormed());
    if (!Number.isInteger(status) || status < 400 || status > 599 || status === 402) {
      throw new RangeError(
        `new Refusal(${status}, ..): the status is from 400 to 599, and not 402, which asks for money`,
      );
    }
    if (typeof code !== 'string' || !CODE.test(code)) {
      throw new RangeError(
        `new Refusal(${status}, ${JSON.stringify(code)}, ..): the code is a stable word for programs, ` +
          "of lower-case letters, digits and _: 'unknown_author'",
      );
    }
    if (message === undefined || message === '') {
      throw new RangeError(
        `new Refusal(${status}, '${code}', ..): say in a sentence what the caller should do instead`,
      );
    }
    this.status = status;
    this.code = code;
    this.more = more;
  }

  get name() {
    return 'Refusal';
  }

  // The answer's body, in the one shape that refusals of the host and of every SDK have. Whether money was charged is
  // the host's to say.
  body() {
    const { error, message, charged, ...more } = this.more;
    return { error: this.code, message: this.message, ...more };
  }
}
