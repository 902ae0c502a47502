// The code of host/docs/javascript.md, in the engine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { evaluate } from './support/engine.js';

const page = readFileSync(new URL('../../../host/docs/javascript.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/^```ts(?: not run: .*)?\n\/\/ ([\w.]+)\n([\s\S]*?)^```$/gm)].map(
  ([, file, code]) => ({ file, code }),
);
const plugins = blocks.filter(({ file }) => file === 'plugin.ts').map(({ code }) => code);

test('the page has its examples', () => assert.ok(plugins.length >= 6 && blocks.length === plugins.length + 1));

for (const [index, code] of plugins.entries()) {
  test(`example ${index + 1} is a plugin: ${/\b(?:get|post)\('([^']+)/.exec(code)[1]}`, async () => {
    const describe =
      'try { return component.manifest.describe().endpoints.length; } catch (error) { return error.message; }';
    const described = await evaluate(code, describe);
    assert.ok(described >= 1 || described === 'set currency in [plugin.NAME.config]', String(described));
  });
}

test('editors find no mistake in the examples', (t) => {
  // Beside node_modules, so that zod is found.
  const folder = mkdtempSync(fileURLToPath(new URL('types/docs-', import.meta.url)));
  t.after(() => rmSync(folder, { recursive: true }));
  plugins.forEach((code, index) => writeFileSync(`${folder}/example${index}.ts`, `${code}\nexport {};\n`));
  const config = { extends: '../tsconfig.json', files: ['../../../coinslot.d.ts'], include: ['*.ts'] };
  writeFileSync(`${folder}/tsconfig.json`, JSON.stringify(config));
  try {
    execFileSync('npx', ['tsc', '--project', folder], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test('the tests of the page pass', async () => {
  const { code } = blocks.find(({ file }) => file === 'plugin.test.ts');
  const plugin = plugins.find((one) => one.includes('quote:') && one.includes('/shout'));
  const script = "await component.handler.handle(incoming('POST /tests')); return sent;";
  const result = await evaluate(code, script, 'coinslot:test-exports', { 'plugin.ts': plugin });
  const lines = result.answers[0].body.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines.at(-1), { event: 'end', passed: 1, failed: 0, skipped: 0 }, JSON.stringify(lines));
});
