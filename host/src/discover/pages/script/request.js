// Makes the request of what the fields hold. A request is plain data, so that it can be kept and sent again:
// { method, url, headers, body: base64 or null }.
const fields = () => [...form.querySelectorAll("[data-name]")];

const isEmpty = (field) => (field.dataset.type === "file" ? field.files.length === 0 : field.value === "");

// The values of a field that holds several.
const lines = (field) => field.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");

const wrong = (field, message) => {
  const place = part(field.id.replace("field", "error"));
  place.textContent = message;
  if (message) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
};

const wrongField = (field, message) => {
  wrong(field, message);
  field.focus();
  return new Trouble(`Look at the field "${field.labels[0].firstChild.textContent}": ${message}`);
};

// The value as JSON. Numbers stay the digits that were written: a number of JavaScript would round them.
const asJson = (field) => {
  const number = (text) => {
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) throw wrongField(field, `"${text}" is not a number.`);
    return text;
  };
  const value = (text) => (/^(true|false)$/.test(text) ? text : number(text));
  switch (field.dataset.type) {
    case "number": return number(field.value);
    case "flag": return field.value;
    case "lines": return `[${lines(field).map((line) => JSON.stringify(line)).join(",")}]`;
    case "values": return `[${lines(field).map(value).join(",")}]`;
    case "json": return whole(field);
    default: return JSON.stringify(field.value);
  }
};

// The text of a field that holds JSON.
const whole = (field) => {
  try {
    JSON.parse(field.value);
  } catch (error) {
    throw wrongField(field, `This is not JSON: ${error.message}.`);
  }
  return field.value;
};

const texts = (field) => (["lines", "values"].includes(field.dataset.type) ? lines(field) : [field.value]);

const formBody = async (given, mediaType) => {
  const isMultipart = mediaType.startsWith("multipart/");
  const body = isMultipart ? new FormData() : new URLSearchParams();
  for (const field of given) {
    const values = field.dataset.type === "file" ? [...field.files] : texts(field);
    for (const value of values) body.append(field.dataset.name, value);
  }
  const encoded = new Response(body);
  const type = encoded.headers.get("content-type");
  const bytes = new Uint8Array(await encoded.arrayBuffer());
  return isMultipart ? withFixedBoundary(type, bytes) : { type, bytes };
};

// Gives the form a boundary that is the same each time, so that the same input is the same request and finds the payment
// that was signed for it.
const BOUNDARY = "----coinslot-form-5d1f0c2a94e7b683";
const withFixedBoundary = (type, bytes) => {
  const random = /boundary=([^;]+)/.exec(type)?.[1];
  const text = atob(base64(bytes));
  if (!random || text.includes(BOUNDARY)) return { type, bytes };
  const fixed = text.replaceAll(random, BOUNDARY);
  return { type: type.replace(random, BOUNDARY), bytes: Uint8Array.from(fixed, (character) => character.charCodeAt(0)) };
};

const bodyOf = async (given) => {
  const { kind, mediaType } = data.body;
  const text = (text) => ({ type: mediaType, bytes: new TextEncoder().encode(text) });
  if (kind === "none" || given.length === 0) return null;
  if (kind === "whole") {
    const [field] = given;
    if (field.dataset.type === "json") return text(whole(field));
    if (field.dataset.type !== "file") return text(field.value);
    const [file] = field.files;
    return { type: mediaType, bytes: new Uint8Array(await file.arrayBuffer()) };
  }
  const isForm = /^(multipart\/form-data|application\/x-www-form-urlencoded)/.test(mediaType);
  if (isForm) return formBody(given, mediaType);
  return text(`{${given.map((field) => `${JSON.stringify(field.dataset.name)}:${asJson(field)}`).join(",")}}`);
};

// Reads the form. Throws a Trouble about the first field that cannot be sent.
const readRequest = async () => {
  fields().forEach((field) => wrong(field, ""));
  const all = fields();
  const bad = all.find((field) => !field.checkValidity());
  if (bad) throw wrongField(bad, bad.validity.valueMissing ? "Give a value." : `${bad.validationMessage}`);
  const given = (place) => all.filter((field) => field.dataset.in === place && !isEmpty(field));
  const parameters = new Map(given("path").map((field) => [field.dataset.name, field.value]));
  const segment = ({ text, name, isRest }) => {
    const value = text ?? encodeURIComponent(parameters.get(name) ?? "");
    return isRest ? value.replaceAll("%2F", "/") : value;
  };
  const query = new URLSearchParams();
  for (const field of given("query")) texts(field).forEach((text) => query.append(field.dataset.name, text));
  const search = query.toString();
  const url = `${data.base}/${data.segments.map(segment).join("/")}${search ? `?${search}` : ""}`;
  const body = await bodyOf(given("body"));
  const headers = body ? { "content-type": body.type } : {};
  return { method: data.method, url, headers, body: body ? base64(body.bytes) : null };
};

const isSame = (one, other) =>
  one.method === other.method && one.url === other.url && one.body === other.body;

// Sends a request, with a payment or without. A redirect is an answer and is not followed: a payment is for one server.
// X-Coinslot-Page says that a page of the host asks: only then the cookie of a pass counts.
const transmit = (request, headers = {}) =>
  fetch(request.url, {
    method: request.method,
    headers: { ...request.headers, "X-Coinslot-Page": "1", ...headers },
    body: request.body === null ? undefined : fromBase64(request.body),
    cache: "no-store",
    redirect: "manual",
    referrerPolicy: "no-referrer",
  });

// Marks the field that the host points at, as in /query/limit, and brings the reader there.
const markPointer = (pointer, message) => {
  const [place, ...names] = pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  const within = fields().filter((field) => field.dataset.in === place);
  const field = within.find((field) => field.dataset.name === names[0]) ?? within.find((field) => field.dataset.name === "");
  if (!field) return;
  // Beside the field nobody needs its place.
  const at = `\`${pointer}\`: `;
  wrong(field, message.slice(message.includes(at) ? message.indexOf(at) + at.length : 0));
  field.focus();
};
