// Prints the table of tests/bench/paid: its head, one round, or the medians and ratios of all rounds.

import { readFileSync } from 'node:fs';

const SERVERS = ['coinslot', 'axum', 'express', 'baseline'];
const [what, ...rest] = process.argv.slice(2);
const read = (file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const line = (name, cells) => console.log(name.padEnd(9) + cells.map((cell) => cell.padStart(34)).join(''));
const cell = ({ rate, p50ms, p99ms, cpuMicros }) => `${Math.round(rate)}/s ${p50ms} ${p99ms} ms ${cpuMicros} us`;

if (what === '--head') {
  line('round', rest.map((name) => `${name}: rate p50 p99 us`));
} else if (what === '--round') {
  const [round, file] = rest;
  const servers = read(file);
  line(round, servers.map(cell));
  servers.forEach(({ failed }, index) => failed && console.log(`  ${SERVERS[index]}: ${failed} payments FAILED`));
} else {
  const rounds = rest.map(read);
  // A ratio within each round, because a disturbance of the machine lasts longer than a round.
  const each = (one, other, field) => rounds.map((round) => round[one][field] / round[other][field]);
  const shown = (ratios) => `${median([...ratios]).toFixed(2)}  (${ratios.map((ratio) => ratio.toFixed(2)).join(' ')})`;
  line('medians', rounds[0].map((_, index) => {
    const of = (field) => median(rounds.map((round) => round[index][field]));
    return cell({ rate: of('rate'), p50ms: of('p50ms'), p99ms: of('p99ms'), cpuMicros: of('cpuMicros') });
  }));
  console.log(`paid requests, coinslot / axum       ${shown(each(0, 1, 'rate'))}`);
  console.log(`paid requests, coinslot / express    ${shown(each(0, 2, 'rate'))}`);
  console.log(`CPU of a request, coinslot / axum    ${shown(each(0, 1, 'cpuMicros'))}`);
  if (rounds[0].length > 3) {
    console.log(`paid requests, coinslot / baseline   ${shown(each(0, 3, 'rate'))}`);
    console.log(`CPU of a request, coinslot / baseline ${shown(each(0, 3, 'cpuMicros'))}`);
  }
  if (rounds.flat().some(({ failed }) => failed > 0)) {
    console.error('payments failed: these are no figures');
    process.exitCode = 1;
  }
}
