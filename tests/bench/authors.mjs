// The stock client of tests/bench/authors: pays for one POST with @x402/fetch, as its README says. The packages are those
// of tests/interop.
//
//   node authors.mjs DEV_JSON URL BODY

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../interop/package.json', import.meta.url));
const { ExactEvmScheme } = require('@x402/evm');
const { wrapFetchWithPaymentFromConfig } = require('@x402/fetch');
const { privateKeyToAccount } = require('viem/accounts');

const [devJson, url, body] = process.argv.slice(2);
const [payer] = JSON.parse(readFileSync(devJson, 'utf8')).payers;
const fetchAndPay = wrapFetchWithPaymentFromConfig(fetch, {
  schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(privateKeyToAccount(payer.privateKey)) }],
});
const answer = await fetchAndPay(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
const text = await answer.text();
if (answer.status !== 200 || !answer.headers.has('PAYMENT-RESPONSE')) {
  throw new Error(`${url} answers ${answer.status} without a receipt: ${text}`);
}
console.log(text);
