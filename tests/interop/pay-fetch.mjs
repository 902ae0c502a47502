// Pays every order with @x402/fetch, as its README says, at its default settings.

import { ExactEvmScheme } from '@x402/evm';
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { privateKeyToAccount } from 'viem/accounts';
import { buyAll } from './purchases.mjs';

await buyAll(({ payer }) => ({
  client: '@x402/fetch 2.27.0',
  pay: (fetch) => wrapFetchWithPaymentFromConfig(fetch, {
    schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(privateKeyToAccount(payer.privateKey)) }],
  }),
  receipt: (headers) => decodePaymentResponseHeader(headers.get('PAYMENT-RESPONSE') ?? ''),
}));
