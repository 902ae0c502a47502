// Prints the table of tests/bench/settle: one round, or the medians and ratios of all rounds; and compares the results with
// the chains.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [what, ...rest] = process.argv.slice(2);
const read = (file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line)).map(measured);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const line = (name, cells) => console.log(name.padEnd(9) + cells.map((cell) => cell.padStart(38)).join(''));
const cell = ({ rate, p50ms, p99ms, us }) => `${Math.round(rate)}/s ${Math.round(p50ms)} ${Math.round(p99ms)} ms ${Math.round(us)} us`;

function measured({ name, ticks, result }) {
  return { name, ...result, us: (ticks * 10_000) / Math.max(result.paid, 1) };
}

async function ask(rpc, method, params) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const headers = { 'content-type': 'application/json' };
  const { result, error } = await (await fetch(rpc, { method: 'POST', headers, body })).json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

// The transfers to the receiver, and the gas of their transactions. Block by block, because nodes refuse answers with
// 30,000 logs.
async function settledOn({ rpc, asset, payTo }) {
  const TRANSFER = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
  const to = `0x${payTo.slice(2).toLowerCase().padStart(64, '0')}`;
  const head = Number(await ask(rpc, 'eth_blockNumber', []));
  const seen = { transfers: 0, gas: 0, fullest: 0, blocks: 0, transactions: 0 };
  for (let number = 1; number <= head; number++) {
    const at = `0x${number.toString(16)}`;
    const logs = await ask(rpc, 'eth_getLogs', [{ fromBlock: at, toBlock: at, address: asset, topics: [TRANSFER, null, to] }]);
    if (logs.length === 0) continue;
    const used = Number((await ask(rpc, 'eth_getBlockByNumber', [at, false])).gasUsed);
    seen.transfers += logs.length;
    seen.transactions += new Set(logs.map(({ transactionHash }) => transactionHash)).size;
    seen.gas += used;
    seen.fullest = Math.max(seen.fullest, used);
    seen.blocks += 1;
  }
  return seen;
}

if (what === '--round') {
  const [round, file] = rest;
  const facilitators = read(file);
  if (round === '1') line('round', facilitators.map(({ name }) => `${name}: rate p50 p99 us`));
  line(round, facilitators.map(cell));
  facilitators.forEach(({ name, failed }) => failed && console.log(`  ${name}: ${failed} payments FAILED`));
} else {
  const [work, count] = rest;
  const rounds = Array.from({ length: Number(count) }, (_, index) => read(join(work, `round.${index + 1}`)));
  const warm = read(join(work, 'warm'));
  line('medians', rounds[0].map((_, index) => {
    const of = (field) => median(rounds.map((round) => round[index][field]));
    return cell({ rate: of('rate'), p50ms: of('p50ms'), p99ms: of('p99ms'), us: of('us') });
  }));
  const index = (name) => rounds[0].findIndex((one) => one.name === name);
  // A ratio within each round, because a disturbance of the machine lasts longer than a round.
  const ratio = (title, one, other, field) => {
    if (index(one) < 0 || index(other) < 0) return;
    const ratios = rounds.map((round) => round[index(one)][field] / round[index(other)][field]);
    const all = ratios.map((value) => value.toFixed(2)).join(' ');
    console.log(`${title.padEnd(44)} ${median(ratios).toFixed(2)}  (${all})`);
  };
  ratio('settlements, batched / single', 'batched', 'single', 'rate');
  ratio('CPU of a settlement, batched / single', 'batched', 'single', 'us');
  for (const kind of ['batched', 'single']) {
    ratio(`settlements, ${kind} / baseline`, kind, `${kind}-baseline`, 'rate');
    ratio(`CPU of a settlement, ${kind} / baseline`, kind, `${kind}-baseline`, 'us');
  }
  for (const [at, { name }] of rounds[0].entries()) {
    const chain = JSON.parse(readFileSync(join(work, name, 'chain.json'), 'utf8'));
    const { transfers, transactions, blocks, gas, fullest } = await settledOn(chain);
    const all = [warm, ...rounds].map((round) => round[at]);
    const sum = (field) => all.reduce((total, one) => total + one[field], 0);
    console.log(`on chain, ${name.padEnd(16)} ${transfers} transfers in ${transactions} transactions and ${blocks} blocks, ` +
      `${Math.round(gas / transfers)} gas each, ${(fullest / 1e6).toFixed(1)} million in the fullest block`);
    if (transfers !== sum('paid') || sum('failed') > 0) {
      console.error(`${name}: ${sum('paid')} settled, ${sum('failed')} failed, ${transfers} on the chain: these are no figures`);
      process.exitCode = 1;
    }
  }
}
