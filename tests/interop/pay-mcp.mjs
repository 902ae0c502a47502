// Buys every order over MCP: the official client calls the tool of its endpoint, @x402/core signs what the result asks
// for, and the payment goes back in the metadata of the same call. Both packages are unmodified.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { x402Client } from '@x402/core/client';
import { ExactEvmScheme } from '@x402/evm';
import { privateKeyToAccount } from 'viem/accounts';
import { check, openChain, openHost } from './purchases.mjs';

const host = openHost();
const chain = openChain(host);
const payer = x402Client.fromConfig({
  schemes: [{ network: 'eip155:*', client: new ExactEvmScheme(privateKeyToAccount(host.payer.privateKey)) }],
});
const agent = new Client({ name: 'coinslot-interop', version: '1.0.0' });
await agent.connect(new StreamableHTTPClientTransport(new URL('/mcp', host.url)));

const tools = [];
let cursor;
do {
  const page = await agent.listTools(cursor === undefined ? {} : { cursor });
  tools.push(...page.tools);
  cursor = page.nextCursor;
} while (cursor !== undefined);

for (const order of host.orders) {
  const url = new URL(order.path, host.url);
  const serves = ({ _meta }) => _meta['coinslot/endpoint'].method === order.method
    && _meta['coinslot/endpoint'].url === url.origin + url.pathname;
  const tool = tools.find(serves);
  check(tool, `no tool is ${order.method} ${order.path}`);
  const query = Object.fromEntries(url.searchParams);
  const body = order.body ?? order.text;
  const call = {
    name: tool.name,
    arguments: { ...(url.search && { query }), ...(body !== undefined && { body }) },
  };
  const before = await chain.balanceOf(host.payTo);
  const asked = await agent.callTool(call);
  check(asked.isError === true, `an unpaid call of ${tool.name}: ${JSON.stringify(asked)}`);
  check(asked.content[0].text === JSON.stringify(asked.structuredContent), 'the value and its text');
  const payment = await payer.createPaymentPayload(asked.structuredContent);
  const paid = await agent.callTool({ ...call, _meta: { 'x402/payment': payment } });
  check(paid.isError === false, `a paid call of ${tool.name}: ${JSON.stringify(paid)}`);
  const text = paid.content.map((content) => content.text ?? '').join('');
  for (const part of order.contains) check(text.includes(part), `${tool.name}: ${part} is not in ${text}`);
  const receipt = paid._meta['x402/payment-response'];
  check(receipt.success, `its receipt: ${JSON.stringify(receipt)}`);
  const [transfer, ...more] = await chain.transfers(receipt.transaction);
  check(more.length === 0 && transfer.value === BigInt(order.price), `its one transfer: ${transfer?.value}`);
  const again = await agent.callTool({ ...call, _meta: { 'x402/payment': payment } });
  check(again._meta['x402/payment-response'].transaction === receipt.transaction, 'the same payment again');
  const earned = (await chain.balanceOf(host.payTo)) - before;
  check(earned === BigInt(order.price), `${tool.name} earned ${earned}`);
}
await agent.close();
console.log(`ok: @modelcontextprotocol/sdk 1.32.2 and @x402/core 2.27.0 bought ${host.orders.length} orders by MCP`);
