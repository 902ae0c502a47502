// Pays every order with x402-fetch, the client of protocol version 1, as its README says, at its default settings.

import { createWalletClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { decodeXPaymentResponse, wrapFetchWithPayment } from 'x402-fetch';
import { buyAll } from './purchases.mjs';

await buyAll(({ payer, rpc }) => ({
  client: 'x402-fetch 1.2.0',
  pay: (fetch) => wrapFetchWithPayment(fetch, createWalletClient({
    account: privateKeyToAccount(payer.privateKey),
    transport: http(rpc),
    chain: baseSepolia,
  })),
  receipt: (headers) => decodeXPaymentResponse(headers.get('X-PAYMENT-RESPONSE') ?? ''),
}));
