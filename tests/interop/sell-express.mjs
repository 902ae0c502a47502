// Sells a route with @x402/express through a facilitator and buys it with @x402/fetch. Both are published and
// unmodified: the program tests the facilitator between them.
//
//   node sell-express.mjs --dev-json dev.json --facilitator URL

import { once } from 'node:events';
import { HTTPFacilitatorClient } from '@x402/core/server';
import { ExactEvmScheme as Payer } from '@x402/evm';
import { ExactEvmScheme as Seller } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import express from 'express';
import { privateKeyToAccount } from 'viem/accounts';
import { CheckFailed, buy, check, openChain, openHost } from './purchases.mjs';

const PRICE = { dollars: '$0.01', units: '10000' };

async function startServer({ network, payTo, facilitator }) {
  const app = express();
  const accepts = { scheme: 'exact', price: PRICE.dollars, network, payTo };
  const resourceServer = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(network, new Seller());
  app.use(paymentMiddleware({ 'GET /weather': { accepts, description: 'Weather', mimeType: 'application/json' } }, resourceServer));
  app.get('/weather', (_request, response) => response.json({ weather: 'sunny' }));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

let server;
try {
  const host = openHost();
  check(host.facilitator, 'give the URL of a running facilitator: --facilitator URL');
  server = await startServer(host);
  const url = `http://127.0.0.1:${server.address().port}`;
  const order = { method: 'GET', path: '/weather', price: PRICE.units, type: 'application/json', contains: ['"sunny"'] };
  await buy({ ...host, url }, openChain(host), order, {
    client: '@x402/fetch 2.27.0 at @x402/express 2.27.0',
    pay: (fetch) => wrapFetchWithPaymentFromConfig(fetch, {
      schemes: [{ network: 'eip155:*', client: new Payer(privateKeyToAccount(host.payer.privateKey)) }],
    }),
    receipt: (headers) => decodePaymentResponseHeader(headers.get('PAYMENT-RESPONSE') ?? ''),
  });
} catch (error) {
  console.error(error instanceof CheckFailed ? error.message : error.stack);
  process.exitCode = 1;
} finally {
  server?.close();
  server?.closeAllConnections();
}
