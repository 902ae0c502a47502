// Types of the module `coinslot`, and of the web platform that plugins have. A tsconfig.json with `"lib": ["es2023"]` and
// without `"dom"` goes with it: what is declared here is what exists.

declare module 'coinslot' {
  /** Any schema of zod, ArkType or Valibot (https://standardschema.dev). */
  interface StandardSchema<Input = any, Output = Input> {
    readonly '~standard': {
      readonly version: 1;
      readonly vendor: string;
      readonly validate: (value: unknown) => any;
      readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    };
  }

  /** A JSON Schema (2020-12), as an object: written by hand, or made by TypeBox. */
  interface JsonSchema {
    readonly [keyword: string]: any;
  }

  /** A schema of any kind. */
  export type Schema = StandardSchema | JsonSchema;

  type Simplify<T> = { [K in keyof T]: T[K] } & {};

  // The type of values of a JSON Schema that is written in place.
  type Named<T> = T extends 'string'
    ? string
    : T extends 'number' | 'integer'
      ? number
      : T extends 'boolean'
        ? boolean
        : T extends 'null'
          ? null
          : unknown;
  type RequiredOf<S> = S extends { readonly required: readonly (infer K)[] } ? K : never;
  type DefaultOf<P> = { [K in keyof P]: P[K] extends { readonly default: any } ? K : never }[keyof P];
  type ObjectOf<S, P> = Simplify<
    { -readonly [K in keyof P as K extends RequiredOf<S> | DefaultOf<P> ? K : never]: FromJson<P[K]> } & {
      -readonly [K in keyof P as K extends RequiredOf<S> | DefaultOf<P> ? never : K]?: FromJson<P[K]>;
    }
  >;
  type FromJson<S> = S extends { readonly const: infer C }
    ? C
    : S extends { readonly enum: readonly (infer E)[] }
      ? E
      : S extends { readonly anyOf: readonly (infer A)[] } | { readonly oneOf: readonly (infer A)[] }
        ? FromJson<A>
        : S extends { readonly type: 'object'; readonly properties: infer P }
          ? ObjectOf<S, P>
          : S extends { readonly type: 'object' }
            ? Record<string, unknown>
            : S extends { readonly type: 'array'; readonly items: infer I }
              ? FromJson<I>[]
              : S extends { readonly type: 'array' }
                ? unknown[]
                : S extends { readonly type: readonly (infer T)[] }
                  ? Named<T>
                  : S extends { readonly type: infer T }
                    ? Named<T>
                    : any;

  type Types<S> = S extends { readonly '~standard': { readonly types?: infer T } } ? NonNullable<T> : never;
  type Output<S> = S extends { readonly '~standard': unknown }
    ? Types<S> extends { readonly output: infer O }
      ? O
      : any
    : S extends { static: infer T }
      ? T
      : FromJson<S>;
  type Input<S> = S extends { readonly '~standard': unknown }
    ? Types<S> extends { readonly input: infer I }
      ? I
      : any
    : S extends { static: infer T }
      ? T
      : FromJson<S>;

  type Names<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
    ? (Name extends `*${infer Bare}` ? Bare : Name) | Names<Rest>
    : never;
  type PathOf<P extends string, S> = [S] extends [undefined] ? { [Name in Names<P>]: string } : Output<S>;
  type QueryOf<S> = [S] extends [undefined] ? { [name: string]: string | string[] | undefined } : Output<S>;
  type BodyOf<S> = [S] extends [undefined]
    ? undefined
    : S extends 'bytes'
      ? Uint8Array
      : S extends 'text'
        ? string
        : Output<S>;

  /** What `quote` and `check` see: the validated input, and the header fields that the endpoint names. */
  export interface QuoteInput<P extends string = string, PathS = undefined, QueryS = undefined, BodyS = undefined> {
    readonly path: PathOf<P, PathS>;
    readonly query: QueryOf<QueryS>;
    readonly body: BodyOf<BodyS>;
    /** `content-type`, and the fields that the option `headers` names. */
    readonly headers: Headers;
    readonly method: string;
    /** The path template. */
    readonly route: string;
  }

  /** What a handler gets. */
  export interface HandlerInput<P extends string = string, PathS = undefined, QueryS = undefined, BodyS = undefined> {
    /** The parameters of the path. */
    readonly path: PathOf<P, PathS>;
    /** The query. A name that occurs more than once is a list. */
    readonly query: QueryOf<QueryS>;
    /** The body, if the endpoint has the option `body`. Without it, read `request`. */
    readonly body: BodyOf<BodyS>;
    readonly headers: Headers;
    /** The request itself: its URL, and its body as a stream, bytes, text, JSON or form. */
    readonly request: Request;
    /** The payment. Undefined if the request is free. */
    readonly receipt: Receipt | undefined;
    readonly config: typeof config;
  }

  /** The verified payment of a request. */
  export interface Receipt {
    /** The payer's address. */
    readonly payer: string;
    /** In decimal units of the asset: `0.01`. */
    readonly amount: string;
    /** The asset's address. */
    readonly asset: string;
    /** The network, as in `eip155:8453`. */
    readonly network: string;
    readonly paymentId: string;
    readonly extensions: readonly (readonly [string, string])[];
  }

  /** A server-sent event. Data that is not text is sent as JSON. */
  export interface ServerSentEvent {
    data?: unknown;
    event?: string;
    id?: string | number;
    /** Milliseconds until a client connects again. */
    retry?: number;
    comment?: string;
  }

  type Special =
    | Response
    | Blob
    | Uint8Array
    | ArrayBuffer
    | ReadableStream
    | AsyncIterable<unknown>
    | Generator<unknown, void, any>
    | null;
  /** What a handler can return. `null` is 404. */
  export type Answer<ReturnsS = undefined> = [ReturnsS] extends [undefined]
    ? string | number | boolean | object | Special
    : Input<ReturnsS> | Special;

  /** One of these says what a request costs. Amounts are US dollars, as text. */
  type Price<QI> =
    | { /** The same price for each request. */ price: string; free?: false; quoted?: undefined; upTo?: undefined }
    | { /** No price. */ free: true; price?: undefined; quoted?: undefined; upTo?: undefined }
    | {
        /** The most that a request can cost. `quote` says what this one costs. */
        quoted: string;
        /** The price of this request, or `'free'`; or throws a Refusal. It runs before the payment, and must not wait. */
        quote: (input: QI) => string;
        price?: undefined;
        free?: false;
        upTo?: undefined;
      }
    | {
        /** The most that a request can cost. The handler says what it costs with `charge`. */
        upTo: string;
        price?: undefined;
        free?: false;
        quoted?: undefined;
      };

  interface Common<QI, PathS, QueryS, ReturnsS> {
    /** One line, at most 120 characters, for tables and catalogues. */
    summary?: string;
    /** Details for a reader who decides whether to buy. */
    description?: string;
    /** A title, where there is no summary. */
    name?: string;
    /** The schema of the path's parameters. Text is turned into the types that it names. */
    path?: PathS;
    /** The schema of the query. Text is turned into the types that it names. */
    query?: QueryS;
    /** The schema of a successful answer. */
    returns?: ReturnsS;
    /** The header fields that `quote` and `check` see beside `content-type`. */
    headers?: readonly string[];
    /** The media type of a successful answer. */
    mimeType?: string;
    /** Settle the payment before the handler runs: for side effects, and for answers that stream. */
    upfront?: boolean;
    /** A payment buys its payer so many further requests within this time. The operator may change it. */
    pass?: { seconds: number; requests: number };
    /** Throws a Refusal for input that cannot be served. It runs before the payment, and must not wait. */
    check?: (input: QI) => void;
    /** Inputs that clients can try: `{ query: { lang: 'en' } }`. */
    examples?: unknown;
  }

  type Declare = <
    const P extends string,
    const PathS = undefined,
    const QueryS = undefined,
    const ReturnsS = undefined,
  >(
    path: P,
    options: Common<QuoteInput<P, PathS, QueryS>, PathS, QueryS, ReturnsS> & Price<QuoteInput<P, PathS, QueryS>>,
    handler: (input: HandlerInput<P, PathS, QueryS>) => Answer<ReturnsS> | Promise<Answer<ReturnsS>>,
  ) => void;

  type DeclareWithBody = <
    const P extends string,
    const PathS = undefined,
    const QueryS = undefined,
    const BodyS = undefined,
    const ReturnsS = undefined,
  >(
    path: P,
    options: Common<QuoteInput<P, PathS, QueryS, BodyS>, PathS, QueryS, ReturnsS> &
      Price<QuoteInput<P, PathS, QueryS, BodyS>> & {
        /** The schema of the body (JSON, or a form), or `'bytes'` or `'text'` for a body without one. */
        body?: BodyS;
      },
    handler: (input: HandlerInput<P, PathS, QueryS, BodyS>) => Answer<ReturnsS> | Promise<Answer<ReturnsS>>,
  ) => void;

  /** Declares an endpoint: `get('/hello/{name}', { price: '0.001' }, ({ path }) => `Hello, ${path.name}!`)`. */
  export const get: Declare;
  export const post: DeclareWithBody;
  export const put: DeclareWithBody;
  export const patch: DeclareWithBody;
  /** Declares an endpoint of the method DELETE. */
  export const del: Declare;

  /** Throw it to refuse a request. The caller pays nothing, and reads `{ error, message }`. */
  export class Refusal extends Error {
    /**
     * @param status From 400 to 599, and not 402. `quote` and `check` refuse with 400 to 499.
     * @param code A stable word for programs, such as `unknown_author`.
     * @param message A sentence that says what to do instead.
     * @param more Further fields of the answer, beside `error`, `message` and the host's `charged`.
     */
    constructor(status: number, code: string, message: string, more?: Record<string, unknown>);
    readonly status: number;
    readonly code: string;
    readonly more: Record<string, unknown>;
  }

  /** Says what package.json does not, or says it otherwise. */
  export function plugin(options: {
    /** Lower-case letters, digits and hyphens. */
    name?: string;
    /** A semantic version. */
    version?: string;
    /** Runs when the host loads the plugin, with its configuration. Throw an Error to refuse: the operator reads it. */
    onLoad?: () => void;
  }): void;

  /** What the operator has set in `[plugin.NAME.config]`: the value of a key, or all of them. */
  export function config(key: string): string | undefined;
  export function config(): Record<string, string>;

  /** Sets what the caller of an endpoint with `upTo` pays. The last call counts; without one the request is free. */
  export function charge(amount: string): void;

  /** A key-value store that outlives requests, if the operator grants one. */
  export interface Store {
    get(key: string): string | undefined;
    getBytes(key: string): Uint8Array | undefined;
    set(key: string, value: string | Uint8Array | ArrayBuffer): void;
    delete(key: string): void;
    has(key: string): boolean;
    /** Adds to a number in one atomic step, and returns the sum. An absent key counts as zero. */
    increment(key: string, by?: number): number;
    /**
     * Replaces a value if it is the expected one, in one atomic step, and returns whether it was. Undefined is no value: as
     * `expected` the key must be absent, as `value` the key is deleted.
     */
    compareAndSwap(
      key: string,
      expected: string | Uint8Array | undefined,
      value: string | Uint8Array | undefined,
    ): boolean;
    /** Replaces a value by what `change` makes of it, in one atomic step. It may be called more than once. */
    update(key: string, change: (value: string | undefined) => string | undefined): string | undefined;
    /** The keys that start with `prefix`. */
    list(prefix?: string): string[];
    readonly json: {
      get<T = any>(key: string): T | undefined;
      set(key: string, value: unknown): void;
      update<T = any>(key: string, change: (value: T | undefined) => T | undefined): T | undefined;
    };
    /** The store of another name, with keys of its own. */
    bucket(name: string): Store;
  }
  export const store: Store;

  /** A schema with a JSON Schema that its library does not tell by itself, as of zod/mini: `z.toJSONSchema(schema)`. */
  export function withJsonSchema<S extends StandardSchema>(schema: S, json: object): S;
}

// The web platform.

type BufferSource = ArrayBufferView | ArrayBuffer;
type BodyInit = ReadableStream | AsyncIterable<Uint8Array> | Blob | BufferSource | FormData | URLSearchParams | string;
type HeadersInit = Headers | [string, string][] | Record<string, string>;

interface Console {
  assert(condition?: boolean, ...data: unknown[]): void;
  clear(): void;
  count(label?: string): void;
  countReset(label?: string): void;
  debug(...data: unknown[]): void;
  dir(item?: unknown): void;
  dirxml(...data: unknown[]): void;
  error(...data: unknown[]): void;
  group(...data: unknown[]): void;
  groupCollapsed(...data: unknown[]): void;
  groupEnd(): void;
  info(...data: unknown[]): void;
  log(...data: unknown[]): void;
  table(rows?: unknown): void;
  time(label?: string): void;
  timeEnd(label?: string): void;
  timeLog(label?: string, ...data: unknown[]): void;
  trace(...data: unknown[]): void;
  warn(...data: unknown[]): void;
}
/** Writes lines to the plugin's log. */
declare var console: Console;

declare var self: typeof globalThis;
declare function atob(data: string): string;
declare function btoa(data: string): string;
declare function queueMicrotask(run: () => void): void;
declare function structuredClone<T = any>(value: T): T;
declare function setTimeout(run: (nothing: void) => void, milliseconds?: number): number;
declare function setTimeout<A extends any[]>(run: (...args: A) => void, milliseconds?: number, ...args: A): number;
declare function setInterval(run: (nothing: void) => void, milliseconds?: number): number;
declare function setInterval<A extends any[]>(run: (...args: A) => void, milliseconds?: number, ...args: A): number;
declare function setImmediate(run: (nothing: void) => void): number;
declare function setImmediate<A extends any[]>(run: (...args: A) => void, ...args: A): number;
declare function clearTimeout(id: number | undefined): void;
declare function clearInterval(id: number | undefined): void;
declare function clearImmediate(id: number | undefined): void;
/** Sends a request through the host. The operator allows origins, and the host adds secrets. */
declare function fetch(input: Request | URL | string, init?: RequestInit): Promise<Response>;

interface Performance {
  now(): number;
  readonly timeOrigin: number;
  mark(name: string): void;
  measure(name: string): void;
  toJSON(): unknown;
}
declare var performance: Performance;

interface DOMException extends Error {
  readonly name: string;
  readonly code: number;
}
declare var DOMException: { prototype: DOMException; new (message?: string, name?: string): DOMException };

interface EventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
}
interface Event {
  readonly type: string;
  readonly target: EventTarget | null;
  readonly currentTarget: EventTarget | null;
  readonly eventPhase: number;
  readonly bubbles: boolean;
  readonly cancelable: boolean;
  readonly composed: boolean;
  readonly defaultPrevented: boolean;
  readonly isTrusted: boolean;
  readonly timeStamp: number;
  composedPath(): EventTarget[];
  preventDefault(): void;
  stopPropagation(): void;
  stopImmediatePropagation(): void;
}
declare var Event: { prototype: Event; new (type: string, init?: EventInit): Event };
interface CustomEvent<T = any> extends Event {
  readonly detail: T;
}
declare var CustomEvent: {
  prototype: CustomEvent;
  new <T>(type: string, init?: EventInit & { detail?: T }): CustomEvent<T>;
};
type EventListenerOrEventListenerObject = ((event: any) => void) | { handleEvent(event: any): void };
interface AddEventListenerOptions {
  once?: boolean;
  capture?: boolean;
  signal?: AbortSignal;
}
interface EventTarget {
  addEventListener(
    type: string,
    callback: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void;
  removeEventListener(
    type: string,
    callback: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void;
  dispatchEvent(event: Event): boolean;
}
declare var EventTarget: { prototype: EventTarget; new (): EventTarget };

interface AbortSignal extends EventTarget {
  readonly aborted: boolean;
  readonly reason: any;
  onabort: ((event: Event) => void) | null;
  throwIfAborted(): void;
}
declare var AbortSignal: {
  prototype: AbortSignal;
  new (): AbortSignal;
  abort(reason?: any): AbortSignal;
  any(signals: AbortSignal[]): AbortSignal;
  timeout(milliseconds: number): AbortSignal;
};
interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: any): void;
}
declare var AbortController: { prototype: AbortController; new (): AbortController };

interface TextEncoder {
  readonly encoding: 'utf-8';
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, out: Uint8Array): { read: number; written: number };
}
declare var TextEncoder: { prototype: TextEncoder; new (): TextEncoder };
interface TextDecoderOptions {
  fatal?: boolean;
  ignoreBOM?: boolean;
}
interface TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(source?: BufferSource, options?: { stream?: boolean }): string;
}
declare var TextDecoder: { prototype: TextDecoder; new (label?: string, options?: TextDecoderOptions): TextDecoder };
interface TextDecoderStream extends TransformStream<BufferSource, string> {
  readonly encoding: string;
}
declare var TextDecoderStream: {
  prototype: TextDecoderStream;
  new (label?: string, options?: TextDecoderOptions): TextDecoderStream;
};
interface TextEncoderStream extends TransformStream<string, Uint8Array> {
  readonly encoding: string;
}
declare var TextEncoderStream: { prototype: TextEncoderStream; new (): TextEncoderStream };

interface URLSearchParams {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  forEach(run: (value: string, name: string, params: URLSearchParams) => void, self?: any): void;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}
declare var URLSearchParams: {
  prototype: URLSearchParams;
  new (init?: Iterable<readonly [string, string]> | Record<string, string> | string): URLSearchParams;
};
interface URL {
  hash: string;
  host: string;
  hostname: string;
  href: string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toJSON(): string;
  toString(): string;
}
declare var URL: {
  prototype: URL;
  new (url: string | URL, base?: string | URL): URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
};

interface Headers {
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  getSetCookie(): string[];
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(run: (value: string, name: string, headers: Headers) => void, self?: any): void;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}
declare var Headers: { prototype: Headers; new (init?: HeadersInit): Headers };

interface Blob {
  readonly size: number;
  readonly type: string;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  slice(start?: number, end?: number, type?: string): Blob;
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
  text(): Promise<string>;
}
type BlobPart = BufferSource | Blob | string;
declare var Blob: { prototype: Blob; new (parts?: BlobPart[], options?: { type?: string }): Blob };
interface File extends Blob {
  readonly name: string;
  readonly lastModified: number;
}
declare var File: {
  prototype: File;
  new (parts: BlobPart[], name: string, options?: { type?: string; lastModified?: number }): File;
};
type FormDataEntryValue = File | string;
interface FormData {
  append(name: string, value: string | Blob, filename?: string): void;
  delete(name: string): void;
  get(name: string): FormDataEntryValue | null;
  getAll(name: string): FormDataEntryValue[];
  has(name: string): boolean;
  set(name: string, value: string | Blob, filename?: string): void;
  forEach(run: (value: FormDataEntryValue, name: string, form: FormData) => void, self?: any): void;
  entries(): IterableIterator<[string, FormDataEntryValue]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<FormDataEntryValue>;
  [Symbol.iterator](): IterableIterator<[string, FormDataEntryValue]>;
}
declare var FormData: { prototype: FormData; new (): FormData };

interface Body {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | null;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  formData(): Promise<FormData>;
  json(): Promise<any>;
  text(): Promise<string>;
}
type RequestRedirect = 'follow' | 'error' | 'manual';
type RequestInfo = Request | string;
interface RequestInit {
  method?: string;
  headers?: HeadersInit;
  body?: BodyInit | null;
  signal?: AbortSignal | null;
  redirect?: RequestRedirect;
}
interface Request extends Body {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly signal: AbortSignal;
  readonly redirect: RequestRedirect;
  clone(): Request;
}
declare var Request: { prototype: Request; new (input: Request | URL | string, init?: RequestInit): Request };
interface ResponseInit {
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
}
type ResponseType = 'basic' | 'default' | 'error';
interface Response extends Body {
  readonly status: number;
  readonly statusText: string;
  readonly ok: boolean;
  readonly headers: Headers;
  readonly url: string;
  readonly redirected: boolean;
  readonly type: ResponseType;
  clone(): Response;
}
declare var Response: {
  prototype: Response;
  new (body?: BodyInit | null, init?: ResponseInit): Response;
  error(): Response;
  json(value: any, init?: ResponseInit): Response;
  redirect(url: string | URL, status?: number): Response;
};

interface QueuingStrategy<T = any> {
  highWaterMark?: number;
  size?: (chunk: T) => number;
}
declare var CountQueuingStrategy: {
  prototype: QueuingStrategy;
  new (init: { highWaterMark: number }): QueuingStrategy;
};
declare var ByteLengthQueuingStrategy: {
  prototype: QueuingStrategy<ArrayBufferView>;
  new (init: { highWaterMark: number }): QueuingStrategy<ArrayBufferView>;
};
interface ReadableStreamDefaultController<R = any> {
  readonly desiredSize: number | null;
  close(): void;
  enqueue(chunk: R): void;
  error(error?: any): void;
}
declare var ReadableStreamDefaultController: { prototype: ReadableStreamDefaultController };
interface UnderlyingSource<R = any> {
  start?: (controller: ReadableStreamDefaultController<R>) => any;
  pull?: (controller: ReadableStreamDefaultController<R>) => void | PromiseLike<void>;
  cancel?: (reason?: any) => void | PromiseLike<void>;
  type?: 'bytes' | undefined;
}
type ReadableStreamReadResult<T> = { done: false; value: T } | { done: true; value: T | undefined };
interface ReadableStreamDefaultReader<R = any> {
  readonly closed: Promise<void>;
  cancel(reason?: any): Promise<void>;
  read(): Promise<ReadableStreamReadResult<R>>;
  releaseLock(): void;
}
declare var ReadableStreamDefaultReader: {
  prototype: ReadableStreamDefaultReader;
  new <R>(stream: ReadableStream<R>): ReadableStreamDefaultReader<R>;
};
interface StreamPipeOptions {
  preventAbort?: boolean;
  preventCancel?: boolean;
  preventClose?: boolean;
  signal?: AbortSignal;
}
interface ReadableStream<R = any> {
  readonly locked: boolean;
  cancel(reason?: any): Promise<void>;
  getReader(): ReadableStreamDefaultReader<R>;
  pipeThrough<T>(
    transform: { readable: ReadableStream<T>; writable: WritableStream<R> },
    options?: StreamPipeOptions,
  ): ReadableStream<T>;
  pipeTo(target: WritableStream<R>, options?: StreamPipeOptions): Promise<void>;
  tee(): [ReadableStream<R>, ReadableStream<R>];
  values(options?: { preventCancel?: boolean }): AsyncIterableIterator<R>;
  [Symbol.asyncIterator](): AsyncIterableIterator<R>;
}
declare var ReadableStream: {
  prototype: ReadableStream;
  new <R = any>(source?: UnderlyingSource<R>, strategy?: QueuingStrategy<R>): ReadableStream<R>;
  from<R>(iterable: Iterable<R | PromiseLike<R>> | AsyncIterable<R>): ReadableStream<R>;
};
interface UnderlyingSink<W = any> {
  start?: (controller: { readonly signal: AbortSignal; error(error?: any): void }) => any;
  write?: (
    chunk: W,
    controller: { readonly signal: AbortSignal; error(error?: any): void },
  ) => void | PromiseLike<void>;
  close?: () => void | PromiseLike<void>;
  abort?: (reason?: any) => void | PromiseLike<void>;
}
interface WritableStreamDefaultWriter<W = any> {
  readonly closed: Promise<void>;
  readonly desiredSize: number | null;
  readonly ready: Promise<void>;
  abort(reason?: any): Promise<void>;
  close(): Promise<void>;
  releaseLock(): void;
  write(chunk: W): Promise<void>;
}
declare var WritableStreamDefaultWriter: {
  prototype: WritableStreamDefaultWriter;
  new <W>(stream: WritableStream<W>): WritableStreamDefaultWriter<W>;
};
interface WritableStream<W = any> {
  readonly locked: boolean;
  abort(reason?: any): Promise<void>;
  close(): Promise<void>;
  getWriter(): WritableStreamDefaultWriter<W>;
}
declare var WritableStream: {
  prototype: WritableStream;
  new <W = any>(sink?: UnderlyingSink<W>, strategy?: QueuingStrategy<W>): WritableStream<W>;
};
interface TransformStreamDefaultController<O = any> {
  readonly desiredSize: number | null;
  enqueue(chunk: O): void;
  error(error?: any): void;
  terminate(): void;
}
interface Transformer<I = any, O = any> {
  start?: (controller: TransformStreamDefaultController<O>) => any;
  transform?: (chunk: I, controller: TransformStreamDefaultController<O>) => void | PromiseLike<void>;
  flush?: (controller: TransformStreamDefaultController<O>) => void | PromiseLike<void>;
  cancel?: (reason: any) => void | PromiseLike<void>;
}
interface TransformStream<I = any, O = any> {
  readonly readable: ReadableStream<O>;
  readonly writable: WritableStream<I>;
}
declare var TransformStream: {
  prototype: TransformStream;
  new <I = any, O = any>(
    transformer?: Transformer<I, O>,
    writable?: QueuingStrategy<I>,
    readable?: QueuingStrategy<O>,
  ): TransformStream<I, O>;
};

type HashAlgorithm = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512';
type KeyUsage = 'sign' | 'verify';
interface HmacParams {
  name: 'HMAC';
  hash: HashAlgorithm | { name: HashAlgorithm };
  length?: number;
}
interface JsonWebKey {
  kty?: string;
  k?: string;
  alg?: string;
  ext?: boolean;
  key_ops?: string[];
}
interface CryptoKey {
  readonly type: 'secret';
  readonly extractable: boolean;
  readonly algorithm: { name: 'HMAC'; hash: { name: string }; length: number };
  readonly usages: KeyUsage[];
}
declare var CryptoKey: { prototype: CryptoKey };
interface SubtleCrypto {
  digest(algorithm: HashAlgorithm | { name: HashAlgorithm }, data: BufferSource): Promise<ArrayBuffer>;
  exportKey(format: 'raw', key: CryptoKey): Promise<ArrayBuffer>;
  exportKey(format: 'jwk', key: CryptoKey): Promise<JsonWebKey>;
  generateKey(algorithm: HmacParams, extractable: boolean, usages: KeyUsage[]): Promise<CryptoKey>;
  importKey(
    format: 'raw',
    data: BufferSource,
    algorithm: HmacParams,
    extractable: boolean,
    usages: KeyUsage[],
  ): Promise<CryptoKey>;
  importKey(
    format: 'jwk',
    data: JsonWebKey,
    algorithm: HmacParams,
    extractable: boolean,
    usages: KeyUsage[],
  ): Promise<CryptoKey>;
  sign(algorithm: 'HMAC' | { name: 'HMAC' }, key: CryptoKey, data: BufferSource): Promise<ArrayBuffer>;
  verify(
    algorithm: 'HMAC' | { name: 'HMAC' },
    key: CryptoKey,
    signature: BufferSource,
    data: BufferSource,
  ): Promise<boolean>;
}
declare var SubtleCrypto: { prototype: SubtleCrypto };
interface Crypto {
  readonly subtle: SubtleCrypto;
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): `${string}-${string}-${string}-${string}-${string}`;
}
declare var crypto: Crypto;
