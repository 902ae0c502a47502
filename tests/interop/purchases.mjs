// Buys the orders of orders.json with a published JavaScript client, and checks each purchase: statuses, answer,
// receipt, the one Transfer on chain, and both balances.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createPublicClient, defineChain, http, parseAbi, parseEventLogs } from 'viem';

const TOKEN = parseAbi([
  'function balanceOf(address) view returns (uint256)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
]);

export class CheckFailed extends Error {}

export function check(condition, message) {
  if (!condition) throw new CheckFailed(message);
}

// Reads the command line: `--dev-json FILE` of a running host, `--plugin NAME` (repeatable) to select orders, and
// `--payer N` to choose one of its funded payers.
export function openHost() {
  const { values } = parseArgs({
    options: {
      'dev-json': { type: 'string', default: '.coinslot/dev.json' },
      plugin: { type: 'string', multiple: true, default: [] },
      payer: { type: 'string', default: '0' },
      facilitator: { type: 'string' },
    },
  });
  const host = JSON.parse(readFileSync(values['dev-json'], 'utf8'));
  const payer = host.payers?.[Number(values.payer)];
  check(payer, `${values['dev-json']} has no payer ${values.payer}`);
  const orders = JSON.parse(readFileSync(new URL('orders.json', import.meta.url), 'utf8'))
    .filter(({ plugin }) => values.plugin.length === 0 || values.plugin.includes(plugin));
  check(orders.length > 0, `orders.json has no order for ${values.plugin.join(', ')}`);
  return { ...host, payer, orders, facilitator: values.facilitator };
}

export function openChain({ rpc, chainId, asset }) {
  const chain = defineChain({
    id: chainId,
    name: 'test',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
  });
  const client = createPublicClient({ chain, transport: http(rpc), cacheTime: 0, pollingInterval: 50 });
  return {
    balanceOf: (holder) =>
      client.readContract({ address: asset, abi: TOKEN, functionName: 'balanceOf', args: [holder] }),
    async transfers(transaction) {
      const receipt = await client.getTransactionReceipt({ hash: transaction });
      check(receipt.status === 'success', `transaction ${transaction} has reverted`);
      return parseEventLogs({ abi: TOKEN, eventName: 'Transfer', logs: receipt.logs })
        .filter(({ address }) => same(address, asset))
        .map(({ args }) => args);
    },
  };
}

function same(one, other) {
  return String(one).toLowerCase() === String(other).toLowerCase();
}

function request({ method, body, text }) {
  if (body !== undefined) {
    return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  }
  return text === undefined ? { method } : { method, headers: { 'content-type': 'text/markdown' }, body: text };
}

// Buys one order. `pay(fetch)` wraps a fetch with the client under test; `receipt(headers)` decodes the receipt header
// with the client's own function. Throws `CheckFailed` at the first check that fails.
export async function buy(host, chain, order, { client, pay, receipt }) {
  const price = BigInt(order.price);
  const { payer, payTo } = host;
  const balances = async () => [await chain.balanceOf(payer.address), await chain.balanceOf(payTo)];
  const before = await balances();

  // The statuses below the client, which has to see 402 and then 200.
  const statuses = [];
  const watched = async (...args) => {
    const response = await fetch(...args);
    statuses.push(response.status);
    return response;
  };
  const started = performance.now();
  const response = await pay(watched)(host.url + order.path, request(order));
  const answer = await response.text();
  const ms = Math.round(performance.now() - started);

  check(response.status === 200, `answered ${response.status}: ${answer.slice(0, 500)}`);
  check(statuses.join() === '402,200', `the client saw ${statuses.join(', ')}, not 402 and then 200`);
  const type = response.headers.get('content-type') ?? '';
  check(type.startsWith(order.type), `content-type is ${type}, not ${order.type}`);
  for (const part of order.contains) {
    check(answer.includes(part), `the answer has no ${JSON.stringify(part)}: ${answer.slice(0, 500)}`);
  }

  const receipt_ = receipt(response.headers);
  check(receipt_.success === true, `the receipt says ${JSON.stringify(receipt_)}`);
  check(/^0x[0-9a-f]{64}$/i.test(receipt_.transaction), `the receipt has no transaction: ${JSON.stringify(receipt_)}`);
  check(same(receipt_.payer, payer.address), `the receipt names the payer ${receipt_.payer}`);

  const transfers = await chain.transfers(receipt_.transaction);
  check(
    transfers.length === 1 && same(transfers[0].from, payer.address) && same(transfers[0].to, payTo) && transfers[0].value === price,
    `${receipt_.transaction} does not move ${price} from payer to seller alone`,
  );
  const after = await balances();
  check(before[0] - after[0] === price, `the payer's balance moved by ${after[0] - before[0]}, not by -${price}`);
  check(after[1] - before[1] === price, `the seller's balance moved by ${after[1] - before[1]}, not by ${price}`);
  console.log(JSON.stringify({
    client, order: `${order.method} ${order.path}`, status: response.status, paid: order.price, transaction: receipt_.transaction, ms,
  }));
}

export async function buyAll(client) {
  let order;
  try {
    const host = openHost();
    const chain = openChain(host);
    const made = client(host);
    for (order of host.orders) await buy(host, chain, order, made);
  } catch (error) {
    const where = order ? `${order.method} ${order.path}: ` : '';
    console.error(`${where}${error instanceof CheckFailed ? error.message : error.stack}`);
    process.exitCode = 1;
  }
}
