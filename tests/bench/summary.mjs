// Prints the table of tests/bench/paid: its head, one round, or the medians and ratios of all rounds.
//
//   node summary.mjs --head SERVERS | --round SERVERS ROUND FILE | --ratios SERVERS FILE...

import { readFileSync } from 'node:fs';

const [what, names, ...rest] = process.argv.slice(2);
const servers = names.split(' ');
const read = (file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const line = (name, cells) => console.log(name.padEnd(9) + cells.map((cell) => cell.padStart(34)).join(''));
const cell = ({ rate, p50ms, p99ms, cpuMicros }) => `${Math.round(rate)}/s ${p50ms} ${p99ms} ms ${cpuMicros} us`;

if (what === '--head') {
  line('round', servers.map((name) => `${name}: rate p50 p99 us`));
} else if (what === '--round') {
  const [round, file] = rest;
  const figures = read(file);
  line(round, figures.map(cell));
  figures.forEach(({ failed }, index) => failed && console.log(`  ${servers[index]}: ${failed} payments FAILED`));
} else {
  const rounds = rest.map(read);
  line('medians', servers.map((_, index) => {
    const of = (field) => median(rounds.map((round) => round[index][field]));
    return cell({ rate: of('rate'), p50ms: of('p50ms'), p99ms: of('p99ms'), cpuMicros: of('cpuMicros') });
  }));
  // A ratio within each round, because a disturbance of the machine lasts longer than a round.
  const ratio = (title, one, other, field) => {
    const [above, below] = [one, other].map((name) => servers.indexOf(name));
    if (above < 0 || below < 0) return;
    const ratios = rounds.map((round) => round[above][field] / round[below][field]);
    const each = ratios.map((value) => value.toFixed(2)).join(' ');
    console.log(`${title.padEnd(56)} ${median(ratios).toFixed(2)}  (${each})`);
  };
  ratio('paid requests, coinslot / axum', 'coinslot', 'axum', 'rate');
  ratio('paid requests, coinslot / express', 'coinslot', 'express', 'rate');
  ratio('CPU of a request, coinslot / axum', 'coinslot', 'axum', 'cpuMicros');
  ratio('paid requests, with metrics and traces / without', 'watched', 'coinslot', 'rate');
  ratio('CPU of a request, with metrics and traces / without', 'watched', 'coinslot', 'cpuMicros');
  ratio('paid requests, coinslot / baseline', 'coinslot', 'baseline', 'rate');
  ratio('CPU of a request, coinslot / baseline', 'coinslot', 'baseline', 'cpuMicros');
  if (rounds.flat().some(({ failed }) => failed > 0)) {
    console.error('payments failed: these are no figures');
    process.exitCode = 1;
  }
}
