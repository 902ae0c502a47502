// Creates a key with ether for gas on a development chain, and prints it.
//
//   node gas.mjs --rpc URL

import { parseArgs } from 'node:util';
import { createTestClient, http, parseEther } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

const { values } = parseArgs({ options: { rpc: { type: 'string' } } });
const key = generatePrivateKey();
const client = createTestClient({ mode: 'anvil', transport: http(values.rpc) });
await client.setBalance({ address: privateKeyToAccount(key).address, value: parseEther('10') });
console.log(key);
