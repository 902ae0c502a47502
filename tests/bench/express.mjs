// A peer of tests/bench/paid: Express with the published @x402/express sells one route for a cent, on a free port. Its
// packages are those of tests/interop.
//
//   node express.mjs FACILITATOR PAY_TO

import { createRequire } from 'node:module';

const require = createRequire(new URL('../interop/package.json', import.meta.url));
const { HTTPFacilitatorClient } = require('@x402/core/server');
const { ExactEvmScheme } = require('@x402/evm/exact/server');
const { paymentMiddleware, x402ResourceServer } = require('@x402/express');
const express = require('express');

const NETWORK = 'eip155:84532';
const [facilitator, payTo] = process.argv.slice(2);
if (!payTo) {
  console.error('usage: node express.mjs FACILITATOR PAY_TO');
  process.exit(64);
}

const resourceServer = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(NETWORK, new ExactEvmScheme());
const accepts = { scheme: 'exact', price: '$0.01', network: NETWORK, payTo };
const app = express();
app.use(paymentMiddleware({ 'POST /status': { accepts, description: 'A guest for tests', mimeType: 'text/plain' } }, resourceServer));
app.post('/status', (_request, response) => response.type('text/plain').send('as asked'));
const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
