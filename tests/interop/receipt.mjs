// Verifies offers and receipts that Coinslot signs with the published @x402/extensions.
//
//   node receipt.mjs                                        the golden file of the host's own tests
//   node receipt.mjs --dev-json dev.json --signer ADDRESS   one purchase from a running host, which signs with that key

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ExactEvmScheme } from '@x402/evm';
import {
  decodeSignedOffers, extractOffersFromPaymentRequired, extractReceiptFromResponse, findAcceptsObjectFromSignedOffer,
  verifyOfferSignatureEIP712, verifyReceiptMatchesOffer, verifyReceiptSignatureEIP712,
} from '@x402/extensions/offer-receipt';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { privateKeyToAccount } from 'viem/accounts';
import { CheckFailed, check } from './purchases.mjs';

const golden = new URL('../../host/crates/x402/src/golden/offer_receipt.json', import.meta.url);
const same = (one, other) => String(one).toLowerCase() === String(other).toLowerCase();

async function signedBy(verified, signer, what) {
  const found = await verified;
  check(same(found.signer, signer), `${what} is signed by ${found.signer}, not by ${signer}`);
  return found.payload;
}

// Checks that a signature over a changed field is not the server's.
async function altered(verify, signed, field, signer) {
  const changed = { ...signed, payload: { ...signed.payload, [field]: `${signed.payload[field]}0` } };
  const found = await verify(changed);
  check(!same(found.signer, signer), `a changed ${field} is still signed by ${signer}`);
}

async function verifyFile() {
  const { signer, offers, receipt, withheld } = JSON.parse(readFileSync(golden, 'utf8'));
  for (const offer of offers.info.offers) {
    await signedBy(verifyOfferSignatureEIP712(offer), signer, 'the offer');
    await altered(verifyOfferSignatureEIP712, offer, 'amount', signer);
  }
  for (const { info } of [receipt, withheld]) {
    await signedBy(verifyReceiptSignatureEIP712(info.receipt), signer, 'the receipt');
    await altered(verifyReceiptSignatureEIP712, info.receipt, 'payer', signer);
  }
}

async function verifyHost(file, signer) {
  const host = JSON.parse(readFileSync(file, 'utf8'));
  const orders = JSON.parse(readFileSync(new URL('orders.json', import.meta.url), 'utf8'));
  const order = orders.find(({ method }) => method === 'GET');
  const url = host.url + order.path;
  const account = privateKeyToAccount(host.payers[0].privateKey);

  const challenge = await fetch(url);
  const required = JSON.parse(atob(challenge.headers.get('PAYMENT-REQUIRED') ?? ''));
  const offers = extractOffersFromPaymentRequired(required);
  check(offers.length === required.accepts.length, `${offers.length} offers are signed of ${required.accepts.length}`);
  for (const offer of offers) {
    const payload = await signedBy(verifyOfferSignatureEIP712(offer), signer, 'the offer');
    check(findAcceptsObjectFromSignedOffer(offer, required.accepts), `nothing in accepts is ${JSON.stringify(payload)}`);
    check(payload.resourceUrl === required.resource.url, `the offer is for ${payload.resourceUrl}`);
  }

  const pay = wrapFetchWithPaymentFromConfig(fetch, {
    schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(account) }],
  });
  const response = await pay(url);
  check(response.status === 200, `answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
  const receipt = extractReceiptFromResponse(response);
  check(receipt, 'the answer has no signed receipt');
  await signedBy(verifyReceiptSignatureEIP712(receipt), signer, 'the receipt');
  const [offer] = decodeSignedOffers(offers);
  check(verifyReceiptMatchesOffer(receipt, offer, [account.address]), `the receipt is not for the offer: ${JSON.stringify(receipt)}`);
}

try {
  const { values } = parseArgs({ options: { 'dev-json': { type: 'string' }, signer: { type: 'string' } } });
  await verifyFile();
  if (values['dev-json']) {
    check(values.signer, '--dev-json needs --signer, the address that signs receipts');
    await verifyHost(values['dev-json'], values.signer);
  }
  console.log(JSON.stringify({ client: '@x402/extensions 2.27.0', verified: values['dev-json'] ? ['golden', 'host'] : ['golden'] }));
} catch (error) {
  console.error(error instanceof CheckFailed ? error.message : error.stack);
  process.exitCode = 1;
}
