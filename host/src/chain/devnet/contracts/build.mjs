// Compiles the embedded chain's contracts into the artifacts beside them.
//
//   npm install && node build.mjs            writes an artifact beside each contract
//   npm install && node build.mjs --check    writes nothing; exits 1 if an artifact differs
//
// The compiler's exact version and every setting that changes bytes are fixed here, and the
// metadata hash is off, so the same source gives the same bytes on every machine.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import solc from "solc";

const CONTRACTS = ["Usdc", "Wallet1271", "Multicall3", "Probe"];
const COMPILER = "0.8.30+commit.73712a01";
const SETTINGS = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

function fail(message) {
  console.error(message);
  process.exit(1);
}

function artifact(name) {
  const input = {
    language: "Solidity",
    sources: { [`${name}.sol`]: { content: readFileSync(beside(`${name}.sol`), "utf8") } },
    settings: {
      ...SETTINGS,
      outputSelection: { [`${name}.sol`]: { [name]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const problems = output.errors ?? [];
  if (problems.length > 0) fail(problems.map((problem) => problem.formattedMessage).join("\n"));
  const { abi, evm } = output.contracts[`${name}.sol`][name];
  const fields = {
    contract: name,
    compiler: COMPILER,
    settings: SETTINGS,
    abi,
    creation: `0x${evm.bytecode.object}`,
    runtime: `0x${evm.deployedBytecode.object}`,
  };
  return `${JSON.stringify(fields, null, 1)}\n`;
}

if (!solc.version().startsWith(COMPILER)) {
  fail(`solc ${solc.version()} is installed, ${COMPILER} is needed: run npm install here`);
}
const checking = process.argv.includes("--check");
for (const name of CONTRACTS) {
  const rebuilt = artifact(name);
  const path = beside(`${name}.json`);
  if (!checking) {
    writeFileSync(path, rebuilt);
    console.log(`wrote ${name}.json`);
    continue;
  }
  let kept;
  try {
    kept = readFileSync(path, "utf8");
  } catch {
    fail(`${name}.json is missing: run node build.mjs`);
  }
  if (kept !== rebuilt) fail(`${name}.json is not what ${name}.sol compiles to: run node build.mjs and commit the result`);
  console.log(`${name}.json is what ${name}.sol compiles to`);
}
