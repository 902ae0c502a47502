// Buys a pass with @x402/fetch and the sign-in-with-x extension, unmodified, and returns without paying.
//
// The route sells a pass of so many requests, `--route /PATH --requests N`. The client pays once, signs in by
// itself for the next N requests, and pays again as if there had been no pass.

import { ExactEvmScheme } from '@x402/evm';
import { createSIWxClientExtension } from '@x402/extensions/sign-in-with-x';
import { wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { privateKeyToAccount } from 'viem/accounts';
import { check } from './purchases.mjs';

const { values } = parseArgs({
  options: {
    'dev-json': { type: 'string', default: '.coinslot/dev.json' },
    requests: { type: 'string' },
    route: { type: 'string' },
  },
});
const host = JSON.parse(readFileSync(values['dev-json'], 'utf8'));
const orders = JSON.parse(readFileSync(new URL('orders.json', import.meta.url), 'utf8'));
const order = orders.find(({ method, path }) => method === 'GET' && path.split('?')[0] === values.route);
check(order, `orders.json has no GET of ${values.route}`);

// Other clients pay as the first account, and may have a pass of it.
const account = privateKeyToAccount(host.payers[1].privateKey);
const client = x402Client.fromConfig({ schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(account) }] });
client.registerExtension(createSIWxClientExtension({ signers: [account] }));
const pay = wrapFetchWithPayment(fetch, client);

async function ask() {
  const response = await pay(new URL(order.path, host.url));
  const text = await response.text();
  const isIt = response.status === 200 && text.includes(order.contains[0]);
  check(isIt, `answered ${response.status}: ${text.slice(0, 500)}`);
  return { paid: response.headers.has('payment-response'), left: response.headers.get('ratelimit') };
}

const requests = Number(values.requests);
const first = await ask();
check(first.paid, `the first request is paid: ${JSON.stringify(first)}`);
for (let left = requests - 1; left >= 0; left -= 1) {
  const returned = await ask();
  check(!returned.paid && returned.left?.startsWith(`"pass";r=${left}`), `by the pass: ${JSON.stringify(returned)}`);
}
const next = await ask();
check(next.paid, `the pass is used up: ${JSON.stringify(next)}`);
console.log(`ok: one payment, ${requests} requests by its pass, and another payment`);
