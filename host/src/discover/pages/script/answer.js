// Shows an answer: text as it comes, JSON in lines, pictures, sounds, and everything as a file to save.

// The most characters of a text that the page shows.
const MOST_SHOWN = 1_000_000;

const isText = (type) => /^text\/|[/+](json|xml|yaml|javascript|x-ndjson)$|^application\/x-www-form-urlencoded$/.test(type);

// JSON with a line for each value. Its numbers and texts stay as they were written.
const pretty = (json) => {
  // Levels below this are not indented any further: spaces would be the square of a deep answer.
  const MOST_LEVELS = 40;
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let text = "";
  const line = () => `\n${"  ".repeat(Math.min(depth, MOST_LEVELS))}`;
  tokens.forEach((token, index) => {
    const before = tokens[index - 1];
    if (token === "}" || token === "]") {
      depth -= 1;
      text += before === "{" || before === "[" ? token : line() + token;
    } else if (token === ",") text += token;
    else if (token === ":") text += ": ";
    else {
      if (before === "{" || before === "[" || before === ",") text += line();
      text += token;
      if (token === "{" || token === "[") depth += 1;
    }
  });
  return text;
};

// The endings of files whose media type does not name one.
const ENDINGS = { "text/plain": "txt", "text/event-stream": "txt", "audio/mpeg": "mp3", "image/svg+xml": "svg", "application/octet-stream": "bin" };

const fileName = (reply, type) => {
  const named = /filename="?([^";]+)"?/i.exec(reply.headers.get("content-disposition") ?? "")?.[1];
  if (named) return named.replace(/[^\w.\- ]/g, "_").slice(0, 80);
  const ending = ENDINGS[type] ?? type.split("/")[1]?.replace(/[^a-z0-9]/g, "");
  return `answer.${ending || "bin"}`;
};

const size = (bytes) => (bytes < 1024 ? `${bytes} bytes` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`);

// Shows the body of an answer, and returns once all of it has arrived.
const showAnswer = async (reply) => {
  const type = (reply.headers.get("content-type") ?? "application/octet-stream").split(";")[0].trim().toLowerCase();
  const isFile = /^\s*attachment/i.test(reply.headers.get("content-disposition") ?? "");
  const place = part("answer-body");
  const text = element("pre", { className: "scroll", tabIndex: 0 }, element("code"));
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", "The answer as text");
  const showsText = isText(type) && !isFile;
  place.replaceChildren(...(showsText ? [text] : []));
  part("answer").hidden = false;
  part("answer").focus();
  const decoder = new TextDecoder();
  const pieces = [];
  let [bytes, written] = [0, ""];
  const reader = reply.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    bytes += value.length;
    if (showsText && written.length < MOST_SHOWN) {
      written += decoder.decode(value, { stream: true });
      text.firstChild.textContent = written.slice(0, MOST_SHOWN);
    } else if (!showsText) say("work", `The answer arrives: ${size(bytes)}.`);
  }
  finishAnswer(reply, { type, pieces, bytes, isFile, showsText });
  const isJson = /[/+]json$/.test(type) && bytes < MOST_SHOWN;
  if (!showsText || !isJson) return;
  try {
    text.firstChild.textContent = pretty(written);
  } catch {
    // It has arrived, and stays as it was written.
  }
};

// Adds what needs the whole answer: a picture, a player, a link that saves it.
const finishAnswer = (reply, { type, pieces, bytes, isFile, showsText }) => {
  const place = part("answer-body");
  const shows = isFile ? null : /^(image|audio|video)\//.exec(type)?.[1];
  // A document with scripts that is opened from here would be of this origin, so it is saved as mere bytes.
  const blob = (type) => URL.createObjectURL(new Blob(pieces, { type }));
  if (shows === "image") place.append(element("img", { src: blob(type), alt: `The answer, a picture of ${size(bytes)}`, className: "shown" }));
  if (shows === "audio" || shows === "video") place.append(element(shows, { src: blob(type), controls: true, className: "shown" }));
  if (bytes === 0) place.append(element("p", {}, "The answer is empty."));
  else {
    const text = `Save the answer (${size(bytes)})`;
    if (!shows && !showsText) place.append(element("p", {}, `The answer is a file of the type ${type}.`));
    place.append(element("p", {}, element("a", { href: blob("application/octet-stream"), download: fileName(reply, type) }, text)));
  }
};

// The receipt of a settled payment, to read and to save.
const showReceipt = (reply, settlement, payment) => {
  const { price } = payment;
  const paid = { ...price, amount: settlement.amount || price.amount };
  const transaction = String(settlement.transaction ?? "");
  const isHash = /^0x[0-9a-f]{64}$/i.test(transaction);
  const id = reply.headers.get("x-coinslot-payment-id");
  // The chain of a development host is in no explorer.
  const link = isHash && price.explorer && !data.testWallet ? element("a", { href: price.explorer + transaction, rel: "noreferrer noopener" }, element("code", {}, transaction)) : element("code", {}, transaction || "none");
  const row = (name, ...value) => element("div", {}, element("dt", {}, name), element("dd", {}, ...value));
  const rows = [
    row("Amount", money(paid), ...(price.isTest ? [" ", element("span", { className: "mark" }, "test network, not money")] : [])),
    row("Network", `${price.networkName} (${price.network})`),
    row("Transaction", link),
    row("From", element("code", {}, payment.payer)),
    row("To", element("code", {}, price.payTo)),
    row("Signed at", time(payment.signedAt)),
    row("Bought", element("code", {}, `${payment.request.method} ${payment.request.url}`)),
    ...(id ? [row("Payment id", element("code", {}, id))] : []),
  ];
  const { method, url } = payment.request;
  const receipt = {
    seller: data.seller, method, url: new URL(url, location.href).href, amount: money(paid), atomicAmount: paid.amount, asset: price.asset,
    network: price.network, isTestNetwork: price.isTest, transaction, payer: payment.payer, payTo: price.payTo, paymentId: id,
    signedAt: new Date(payment.signedAt * 1000).toISOString(), answeredAt: new Date().toISOString(), settlement,
  };
  const file = URL.createObjectURL(new Blob([JSON.stringify(receipt, null, 2)], { type: "application/json" }));
  const save = element("a", { href: file, download: `receipt-${(id ?? payment.nonce).slice(0, 18)}.json`, id: "save-receipt" }, "Save the receipt");
  part("receipt-body").replaceChildren(element("dl", { className: "facts" }, ...rows), element("p", {}, save));
  part("receipt").hidden = false;
};
