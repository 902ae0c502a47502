// Compiles the contracts of the embedded chain and the probe of `coinslot-evm` into the artifacts beside them.
//
//   npm install && node build.mjs            writes an artifact beside each contract
//   npm install && node build.mjs --check    writes nothing; exits 1 if an artifact differs
//
// The compiler's exact version and every setting that changes bytes are fixed here, and the
// metadata hash is off, so the same source gives the same bytes on every machine.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import solc from "solc";

// Each contract and its folder. The probe is never deployed: `coinslot-evm` sends its code along with a read.
const CONTRACTS = { Usdc: "", Wallet1271: "", Multicall3: "", Probe: "../../evm/contracts/" };
const COMPILER = "0.8.30+commit.73712a01";
const SETTINGS = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

const path = (name, ending) => fileURLToPath(new URL(`${CONTRACTS[name]}${name}.${ending}`, import.meta.url));

function fail(message) {
  console.error(message);
  process.exit(1);
}

function artifact(name) {
  const input = {
    language: "Solidity",
    sources: { [`${name}.sol`]: { content: readFileSync(path(name, "sol"), "utf8") } },
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
for (const name of Object.keys(CONTRACTS)) {
  const rebuilt = artifact(name);
  if (!checking) {
    writeFileSync(path(name, "json"), rebuilt);
    console.log(`wrote ${name}.json`);
    continue;
  }
  let kept;
  try {
    kept = readFileSync(path(name, "json"), "utf8");
  } catch {
    fail(`${name}.json is missing: run node build.mjs`);
  }
  if (kept !== rebuilt) fail(`${name}.json is not what ${name}.sol compiles to: run node build.mjs and commit the result`);
  console.log(`${name}.json is what ${name}.sol compiles to`);
}
