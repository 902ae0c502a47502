// Uses up the free requests of an account with @x402/fetch and the sign-in-with-x extension, unmodified, and then pays.
//
// The host allows so many requests of each payer, `--free N`. The client signs in by itself, gets its answers without a
// payment, and pays for the next one as if nothing had been free. A second account has free requests of its own.

import { ExactEvmScheme } from '@x402/evm';
import { createSIWxClientExtension } from '@x402/extensions/sign-in-with-x';
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { check } from './purchases.mjs';

const { values } = parseArgs({
  options: {
    'dev-json': { type: 'string', default: '.coinslot/dev.json' },
    free: { type: 'string' },
    plugin: { type: 'string' },
  },
});
const host = JSON.parse(readFileSync(values['dev-json'], 'utf8'));
const orders = JSON.parse(readFileSync(new URL('orders.json', import.meta.url), 'utf8'));
const order = orders.find(({ plugin }) => plugin === values.plugin);
check(order, `orders.json has no order for ${values.plugin}`);

// A client of this account, and the header fields of its last request.
function clientOf(privateKey) {
  const account = privateKeyToAccount(privateKey);
  const client = x402Client.fromConfig({ schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(account) }] });
  client.registerExtension(createSIWxClientExtension({ signers: [account] }));
  const seen = { requests: [] };
  const watched = async (input, init) => {
    const request = new Request(input, init);
    seen.requests.push(['sign-in-with-x', 'payment-signature'].filter((name) => request.headers.has(name)));
    return fetch(request);
  };
  const pay = wrapFetchWithPayment(watched, client);
  return async () => {
    seen.requests = [];
    const { method, body, text } = order;
    const json = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const init = text === undefined ? json : { headers: { 'content-type': 'text/markdown' }, body: text };
    const response = await pay(new URL(order.path, host.url), { method, ...init });
    const settled = response.headers.get('payment-response');
    return { status: response.status, left: response.headers.get('ratelimit'), settled, requests: seen.requests };
  };
}

const free = Number(values.free);
const rich = clientOf(host.payers[0].privateKey);
for (let left = free - 1; left >= 0; left -= 1) {
  const answer = await rich();
  check(answer.status === 200 && answer.settled === null, `a free request: ${JSON.stringify(answer)}`);
  check(answer.requests.flat().join() === 'sign-in-with-x', `it signs in and pays nothing: ${answer.requests}`);
  check(answer.left?.startsWith(`"payer";r=${left}`), `what is left: ${answer.left}`);
}
const paid = await rich();
check(paid.status === 200 && paid.settled !== null, `a paid request: ${JSON.stringify(paid)}`);
check(decodePaymentResponseHeader(paid.settled).success, 'its settlement');
check(paid.requests.length === 3, `a challenge, a proof and a payment: ${JSON.stringify(paid.requests)}`);

const poor = clientOf(generatePrivateKey());
const other = await poor();
check(other.status === 200 && other.settled === null, `another account: ${JSON.stringify(other)}`);
console.log(`ok: ${free} free requests of an account that signs in, and then a paid one`);
