// Types of the module `coinslot/test`.

declare module 'coinslot/test' {
  import type { Receipt } from 'coinslot';

  type Run = () => unknown;
  interface Test {
    (name: string, run: Run): void;
    /** Runs the tests that say so, and no others. */
    only: (name: string, run: Run) => void;
    skip: (name: string, run: Run) => void;
    /** `test.each([[1, 2], [2, 4]])('%d doubled is %d', (n, twice) => ..)` */
    each: <Row>(
      rows: readonly Row[],
    ) => (name: string, run: (...row: Row extends readonly [...infer Values] ? [...Values] : [Row]) => unknown) => void;
  }
  export const test: Test;
  export const it: Test;
  /** A group of tests, with hooks of its own. */
  export function describe(name: string, declare: () => void): void;
  export function beforeEach(run: Run): void;
  export function afterEach(run: Run): void;

  interface CallOptions {
    query?: Record<string, string | number | boolean | readonly (string | number | boolean)[]>;
    headers?: HeadersInit;
    /** A plain object or list is sent as JSON, anything else as `fetch` sends it. */
    body?: unknown;
    /** What the plugin reads as the payment. */
    receipt?: Partial<Receipt>;
    /** What `config` reads. */
    config?: Record<string, string>;
  }
  interface Called extends Response {
    /** The price that was asked: an amount, `'free'`, or undefined if the request was refused before. */
    readonly price: string | undefined;
    /** What the caller paid in the end: `'0'` if nothing. */
    readonly charged: string;
  }
  /** Calls an endpoint as a paying client does: `await call('POST /quotes/pick', { body: { author: 'Hopper' } })`. */
  export function call(target: string, options?: CallOptions): Promise<Called>;
  /** The price of a request. Throws the Refusal of one that is refused before it is paid. */
  export function price(target: string, options?: CallOptions): Promise<string>;
  /** The server-sent events of an answer. Data that is JSON is read. */
  export function events(response: Response): Promise<{ event?: string; data: any; id?: string }[]>;
  /** Sets what `config` reads in this test. */
  export function configure(values: Record<string, string>): void;
  export function configure(key: string, value: string): void;
  /** Answers `fetch` in this test. Without it, `fetch` fails. */
  export function mockFetch(answer: (request: Request) => Response | Promise<Response>): void;
  /** What the plugin has logged in this test. */
  export function logged(): string;

  interface Matchers<Result> {
    toBe(expected: unknown): Result;
    toEqual(expected: unknown): Result;
    toStrictEqual(expected: unknown): Result;
    toMatchObject(expected: object): Result;
    toMatch(pattern: RegExp | string): Result;
    toContain(item: unknown): Result;
    toContainEqual(item: unknown): Result;
    toHaveLength(length: number): Result;
    toHaveProperty(path: string | readonly string[], value?: unknown): Result;
    toBeTruthy(): Result;
    toBeFalsy(): Result;
    toBeNull(): Result;
    toBeUndefined(): Result;
    toBeDefined(): Result;
    toBeNaN(): Result;
    toBeGreaterThan(other: number | bigint): Result;
    toBeGreaterThanOrEqual(other: number | bigint): Result;
    toBeLessThan(other: number | bigint): Result;
    toBeLessThanOrEqual(other: number | bigint): Result;
    toBeCloseTo(other: number, digits?: number): Result;
    toBeInstanceOf(type: Function): Result;
    toBeTypeOf(type: string): Result;
    toSatisfy(test: (value: any) => boolean): Result;
    toThrow(expected?: RegExp | string | Function | object): Result;
    toThrowError(expected?: RegExp | string | Function | object): Result;
  }
  interface Expect {
    (actual: unknown): Matchers<void> & {
      not: Matchers<void>;
      resolves: Matchers<Promise<void>> & { not: Matchers<Promise<void>> };
      rejects: Matchers<Promise<void>> & { not: Matchers<Promise<void>> };
    };
    anything(): any;
    any(type: Function): any;
    stringContaining(part: string): any;
    stringMatching(pattern: RegExp | string): any;
    objectContaining(part: object): any;
    arrayContaining(items: readonly unknown[]): any;
    fail(message?: string): never;
  }
  export const expect: Expect;
}
