// Runs anvil as a copy of Base Sepolia, with our USDC stand-in at the address where stock clients expect USDC.
//
//   node anvil.mjs --artifact Usdc.json [--out FILE] [--block-time SECONDS] [--payers N] [--multicall Multicall3.json]
//                  [--gas-limit GAS]
//
// By default each transaction gets a block of its own, a block holds anvil's 30 million gas, there is one payer, and
// Multicall3 is not deployed. When the chain is ready, the program prints (or writes) one JSON line {rpc, chainId,
// network, asset, payTo, payers, gasKey} with fresh keys, and runs until a signal ends it. The gas key has ether and no
// USDC; the payers have USDC and no ether.

import { spawn } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { createTestClient, encodeAbiParameters, http, keccak256, numberToHex, pad, parseEther, publicActions } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

const CHAIN_ID = 84532;
const USDC = '0x036CbD53842c5426634e7929541eC2318f3dCF7e';
const MULTICALL3 = '0xcA11bde05977b3631167028862bE2a173976CA11';
const FUNDS = 1_000_000_000n; // 1,000 USDC
// The storage layout of Usdc.sol, documented there.
const BALANCES_SLOT = 0n;
const TOTAL_SUPPLY_SLOT = 1n;

const { values } = parseArgs({
  options: {
    artifact: { type: 'string' },
    out: { type: 'string' },
    'block-time': { type: 'string' },
    'gas-limit': { type: 'string' },
    payers: { type: 'string', default: '1' },
    multicall: { type: 'string' },
  },
});
if (!values.artifact) {
  console.error('usage: node anvil.mjs --artifact Usdc.json [--out FILE] [--block-time SECONDS] [--payers N] [--multicall FILE] [--gas-limit GAS]');
  process.exit(64);
}
const { runtime } = JSON.parse(readFileSync(values.artifact, 'utf8'));

// The path of the binary in the platform's package, so that no install script has to run.
function binary() {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch];
  return createRequire(import.meta.url).resolve(`@foundry-rs/anvil-${process.platform}-${arch}/bin/anvil`);
}

const blocks = ['block-time', 'gas-limit'].flatMap((name) => (values[name] ? [`--${name}`, values[name]] : []));
const options = ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(CHAIN_ID), '--accounts', '0', ...blocks];
const anvil = spawn(binary(), options, { stdio: ['ignore', 'pipe', 'inherit'] });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => anvil.kill());
anvil.on('exit', (code, signal) => process.exit(signal ? 0 : (code ?? 1)));
anvil.on('error', (error) => {
  console.error(`anvil does not start: ${error.message}`);
  process.exit(1);
});

const rpc = await new Promise((resolve) => {
  let output = '';
  anvil.stdout.on('data', (chunk) => {
    output = (output + chunk).slice(-4096);
    const address = /Listening on ([0-9.]+:[0-9]+)/.exec(output)?.[1];
    if (address) resolve(`http://${address}`);
  });
});

const client = createTestClient({ mode: 'anvil', transport: http(rpc) }).extend(publicActions);
const account = () => {
  const privateKey = generatePrivateKey();
  return { address: privateKeyToAccount(privateKey).address, privateKey };
};
const [gas, seller] = [account(), account()];
const payers = Array.from({ length: Number(values.payers) }, account);
const word = (number) => pad(numberToHex(number), { size: 32 });
const slot = (holder) => keccak256(encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [holder, BALANCES_SLOT]));
await client.setCode({ address: USDC, bytecode: runtime });
if (values.multicall) {
  await client.setCode({ address: MULTICALL3, bytecode: JSON.parse(readFileSync(values.multicall, 'utf8')).runtime });
}
for (const payer of payers) {
  await client.setStorageAt({ address: USDC, index: slot(payer.address), value: word(FUNDS) });
}
await client.setStorageAt({ address: USDC, index: word(TOTAL_SUPPLY_SLOT), value: word(FUNDS * BigInt(payers.length)) });
await client.setBalance({ address: gas.address, value: parseEther('1000') });
// With the genesis block alone, calls would see the time 0.
await client.mine({ blocks: 1 });

const ready = JSON.stringify({
  rpc,
  chainId: CHAIN_ID,
  network: `eip155:${CHAIN_ID}`,
  asset: USDC,
  payTo: seller.address,
  payers,
  gasKey: gas.privateKey,
});
if (values.out) {
  writeFileSync(`${values.out}.part`, ready, { mode: 0o600 });
  renameSync(`${values.out}.part`, values.out);
} else {
  console.log(ready);
}
