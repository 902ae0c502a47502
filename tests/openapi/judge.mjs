// Judges the description of an API in OpenAPI 3.1, and answers of the API by it, as the job on standard input has them:
//
//   { "description": the document,
//     "exchanges": [{ "method", "path": as the description names it, "request": the body that was sent, or null,
//                     "status", "type": the media type of the answer, "body": its text }] }
//
// Prints the faults as a JSON list of sentences: none if all is as described.
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const { description, exchanges } = JSON.parse(readFileSync(0, "utf8"));
const faults = [];

// The document itself, with every reference in it.
const validator = new Validator();
const validated = await validator.validate(structuredClone(description));
if (!validated.valid) faults.push(`the description is not valid: ${JSON.stringify(validated.errors)}`);
try {
  validator.resolveRefs();
} catch (error) {
  faults.push(`the description has a reference that leads nowhere: ${error.message}`);
}

if (faults.length > 0) {
  console.log(JSON.stringify(faults));
  process.exit(0);
}

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat("int32", true).addFormat("int64", true);

// A schema with the properties that it names and no others: an answer has nothing that the description lacks. A part of a
// schema names some of its properties, so only the whole is closed.
const part = (schema) => {
  if (schema.$ref?.startsWith("#")) return { ...schema, $ref: `open${schema.$ref}` };
  return schema;
};
const closed = (schema) => {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const inner = ([key, value]) => [key, key === "allOf" ? value.map(part) : closed(value)];
  const copy = Object.fromEntries(Object.entries(schema).map(inner));
  if ((copy.properties || copy.allOf) && copy.additionalProperties === undefined) copy.unevaluatedProperties = false;
  return copy;
};
ajv.addSchema(description, "open");
ajv.addSchema(closed(description), "api");

const pointer = (parts) => parts.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
const compiled = new Map();
const problems = (parts, value) => {
  const $ref = `api#/${pointer(parts)}`;
  if (!compiled.has($ref)) compiled.set($ref, ajv.compile({ $ref }));
  const validate = compiled.get($ref);
  return validate(value) ? null : ajv.errorsText(validate.errors, { separator: "; " });
};

for (const { method, path, request, status, type, body } of exchanges) {
  const what = `${method} ${path} answered ${status}`;
  const operation = description.paths[path]?.[method.toLowerCase()];
  if (!operation) {
    faults.push(`${method} ${path} is not described`);
    continue;
  }
  let place = ["paths", path, method.toLowerCase(), "responses", String(status)];
  let answer = operation.responses[status];
  if (answer?.$ref) {
    place = answer.$ref.split("/").slice(1);
    answer = description.components.responses[place.at(-1)];
  }
  if (!answer) {
    faults.push(`${what}, which is not described`);
    continue;
  }
  const content = answer.content?.[type];
  if (!content) {
    faults.push(`${what} with ${type}, which is not described`);
    continue;
  }
  const value = type === "application/json" ? JSON.parse(body) : body;
  const wrong = problems([...place, "content", type, "schema"], value);
  if (wrong) faults.push(`${what}, not as described: ${wrong}\n${body.slice(0, 2000)}`);
  if (request !== null && status < 300) {
    const sent = ["paths", path, method.toLowerCase(), "requestBody", "content", "application/json", "schema"];
    const unlike = operation.requestBody ? problems(sent, request) : "it has no body in the description";
    if (unlike) faults.push(`${method} ${path} takes what is not described: ${unlike}`);
  }
}
console.log(JSON.stringify(faults));
