// Names everything that the SDK takes from the host. No other module imports a WIT interface, so a test puts its own
// functions in the place of this object's.

import swaps from 'coinslot:keyvalue/atomics@0.1.0';
import payment from 'coinslot:plugin/payment@0.2.0';
import usage from 'coinslot:plugin/usage@0.2.0';
import stderr from 'wasi:cli/stderr@0.2.12';
import monotonic from 'wasi:clocks/monotonic-clock@0.3.0';
import config from 'wasi:config/store@0.2.0-rc.1';
import client from 'wasi:http/client@0.3.0';
import http from 'wasi:http/types@0.3.0';
import atomics from 'wasi:keyvalue/atomics@0.2.0-draft';
import keyvalue from 'wasi:keyvalue/store@0.2.0-draft';
import random from 'wasi:random/random@0.3.0';

import { isBuilding } from './phase.js';

// One write to a stream of WASI 0.2 takes at most this many bytes.
const WRITE = 4096;

let output;

export const host = {
  http,
  send: client.send,
  receipt: payment.current,
  charge: usage.charge,
  randomBytes: random.getRandomBytes,
  nowNanoseconds: monotonic.now,
  waitNanoseconds: monotonic.waitFor,
  configValue: config.get,
  configValues: config.getAll,
  openBucket: keyvalue.open,
  increment: atomics.increment,
  compareAndSwap: swaps.compareAndSwap,
  log(bytes) {
    // A handle of the build means nothing in an instance, so none may be in the snapshot.
    const stream = isBuilding() ? stderr.getStderr() : (output ??= stderr.getStderr());
    for (let at = 0; at < bytes.length; at += WRITE) stream.blockingWriteAndFlush(bytes.subarray(at, at + WRITE));
    if (isBuilding()) stream[Symbol.dispose]?.();
  },
};
