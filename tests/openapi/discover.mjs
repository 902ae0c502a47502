// Judges a running host as directories do: by every rule of @agentcash/discovery. The job on standard input:
//
//   { "origin": "http://127.0.0.1:8402", "urls": [an address of each paid route] }
//
// Prints what it found and the faults as JSON: { "found": { ... }, "faults": [sentences] }. Remarks are no faults.
import { readFileSync } from "node:fs";
import {
  checkEndpointSchema, checkL2ForOpenAPI, checkL4ForOpenAPI, discoverOriginSchema, getOpenAPI, getWarningsForFavicon,
  getWarningsForL2, getWarningsForL3, getWarningsForL4, getWarningsForOpenAPI, validatePaymentRequiredDetailed,
} from "@agentcash/discovery";

const { origin, urls } = JSON.parse(readFileSync(0, "utf8"));
const faults = [];
const judge = (where, warnings) => {
  for (const { severity, code, message } of warnings) {
    if (severity !== "info") faults.push(`${where}: ${severity} ${code}: ${message}`);
  }
};

const fetched = await getOpenAPI(origin);
if (fetched.isErr()) throw new Error(`no OpenAPI: ${fetched.error.message}`);
const openApi = fetched.value;
judge("openapi.json", getWarningsForOpenAPI(openApi));
const routes = checkL2ForOpenAPI(openApi);
judge("routes", getWarningsForL2(routes));
judge("guidance", getWarningsForL4(checkL4ForOpenAPI(openApi)));
const icon = await getWarningsForFavicon(origin);
judge("icon", icon.isOk() ? icon.value : [{ severity: "error", code: "FAVICON", message: "it cannot be read" }]);

const found = await discoverOriginSchema({ target: origin });
if (!found.found) faults.push(`the origin is not found: ${found.message ?? found.cause}`);

let probed = 0;
for (const url of urls) {
  // Once by the document, and once by what the route answers to a bare request.
  for (const probe of [false, true]) {
    const checked = await checkEndpointSchema({ url, probe });
    if (!checked.found) {
      faults.push(`${url}: not found (${checked.cause})`);
      continue;
    }
    for (const advisory of checked.advisories.filter(({ authMode }) => authMode === "paid")) {
      const where = `${advisory.method} ${url}${probe ? " by its answer" : ""}`;
      judge(where, getWarningsForL3(advisory));
      if (probe) {
        probed += advisory.method === "HEAD" ? 0 : 1;
        const { summary, issues } = validatePaymentRequiredDetailed(advisory.paymentRequiredBody);
        if (summary.errorCount + summary.warnCount > 0) judge(where, issues);
      }
    }
  }
}
const { trustTier, ownershipProofs, info } = found;
console.log(JSON.stringify({ found: { trustTier, ownershipProofs, info, probed, routes: routes.routes }, faults }));
