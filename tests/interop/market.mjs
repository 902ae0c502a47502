// What every JavaScript buyer here shares: the contract that `coinslot dev` writes, the balances as the chain
// tells them, and the checks after a purchase. A buyer brings only its published client.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createPublicClient, defineChain, http, parseAbi, parseEventLogs } from 'viem';

const TOKEN = parseAbi([
  'function balanceOf(address) view returns (uint256)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
]);

export class Broken extends Error {}

export function check(condition, message) {
  if (!condition) throw new Broken(message);
}

// `--market FILE` is the dev.json of a running host; `--plugin NAME` (repeatable) narrows the orders; `--payer N`
// picks one of its funded payers.
export function openMarket() {
  const { values } = parseArgs({
    options: {
      market: { type: 'string', default: '.coinslot/dev.json' },
      plugin: { type: 'string', multiple: true, default: [] },
      payer: { type: 'string', default: '0' },
      facilitator: { type: 'string' },
    },
  });
  const market = JSON.parse(readFileSync(values.market, 'utf8'));
  const payer = market.payers?.[Number(values.payer)];
  check(payer, `${values.market} has no payer ${values.payer}`);
  const orders = JSON.parse(readFileSync(new URL('orders.json', import.meta.url), 'utf8'))
    .filter(({ plugin }) => values.plugin.length === 0 || values.plugin.includes(plugin));
  check(orders.length > 0, `orders.json has nothing of ${values.plugin.join(', ')}`);
  return { ...market, payer, orders, facilitator: values.facilitator };
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

// `pay(fetch)` wraps a fetch with the client under test; `receipt(headers)` is the client's own decoding of the
// receipt header. Throws `Broken` at the first check that fails.
export async function buy(market, chain, order, { client, pay, receipt }) {
  const price = BigInt(order.price);
  const { payer, payTo } = market;
  const balances = async () => [await chain.balanceOf(payer.address), await chain.balanceOf(payTo)];
  const before = await balances();

  // The statuses below the client: it was asked for money, and the second answer was the paid one.
  const statuses = [];
  const watched = async (...args) => {
    const response = await fetch(...args);
    statuses.push(response.status);
    return response;
  };
  const started = performance.now();
  const response = await pay(watched)(market.url + order.path, request(order));
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
    const market = openMarket();
    const chain = openChain(market);
    const made = client(market);
    for (order of market.orders) await buy(market, chain, order, made);
  } catch (error) {
    const where = order ? `${order.method} ${order.path}: ` : '';
    console.error(`${where}${error instanceof Broken ? error.message : error.stack}`);
    process.exitCode = 1;
  }
}
