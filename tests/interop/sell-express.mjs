// @x402/express sells a route through a facilitator that is given, and @x402/fetch buys there: both published and
// unmodified, so what is tested is the facilitator between them.
//
//   node sell-express.mjs --market dev.json --facilitator URL

import { once } from 'node:events';
import { HTTPFacilitatorClient } from '@x402/core/server';
import { ExactEvmScheme as Payer } from '@x402/evm';
import { ExactEvmScheme as Seller } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import express from 'express';
import { privateKeyToAccount } from 'viem/accounts';
import { Broken, buy, check, openChain, openMarket } from './market.mjs';

const PRICE = { dollars: '$0.01', units: '10000' };

async function openShop({ network, payTo, facilitator }) {
  const app = express();
  const accepts = { scheme: 'exact', price: PRICE.dollars, network, payTo };
  const till = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(network, new Seller());
  app.use(paymentMiddleware({ 'GET /weather': { accepts, description: 'Weather', mimeType: 'application/json' } }, till));
  app.get('/weather', (_request, response) => response.json({ weather: 'sunny' }));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

let shop;
try {
  const market = openMarket();
  check(market.facilitator, 'give the URL of a running facilitator: --facilitator URL');
  shop = await openShop(market);
  const url = `http://127.0.0.1:${shop.address().port}`;
  const order = { method: 'GET', path: '/weather', price: PRICE.units, type: 'application/json', contains: ['"sunny"'] };
  await buy({ ...market, url }, openChain(market), order, {
    client: '@x402/fetch 2.27.0 at @x402/express 2.27.0',
    pay: (fetch) => wrapFetchWithPaymentFromConfig(fetch, {
      schemes: [{ network: 'eip155:*', client: new Payer(privateKeyToAccount(market.payer.privateKey)) }],
    }),
    receipt: (headers) => decodePaymentResponseHeader(headers.get('PAYMENT-RESPONSE') ?? ''),
  });
} catch (error) {
  console.error(error instanceof Broken ? error.message : error.stack);
  process.exitCode = 1;
} finally {
  shop?.close();
  shop?.closeAllConnections();
}
