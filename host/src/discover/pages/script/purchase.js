// Buys an answer: asks for the price, has it signed, sends the payment, and sends the same payment again as long as its
// end is not known.

// The tries with one payment before the page stops and lets a person ask again.
const TRIES = 8;
const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

// What an error of the host says, as far as it is one.
const errorOf = async (reply) => {
  try {
    const text = await reply.text();
    const isJson = /json/.test(reply.headers.get("content-type") ?? "");
    if (!isJson) return { message: text.slice(0, 300) };
    const document = JSON.parse(text);
    return { ...document, message: String(document.message ?? document.error ?? "").slice(0, 1000) };
  } catch {
    return { message: "" };
  }
};

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.` : "");

const clear = () => {
  for (const id of ["answer", "receipt"]) part(id).hidden = true;
};

// What the answer to a payment means for the money, as its headers and its body tell it. Only the host knows whether the
// payment was taken: an answer without its word may be the page of a network that wants a login, or of a proxy.
const outcomeOf = async (reply) => {
  const header = reply.headers.get("payment-response");
  let settlement = null;
  try {
    settlement = header ? decodeHeader(header) : null;
  } catch {
    // A proxy's, perhaps: then the body tells.
  }
  if (reply.type === "opaqueredirect") return { kind: "redirect" };
  if (reply.status < 400) return { kind: settlement?.success ? "answered" : "without receipt", settlement };
  const charged = reply.headers.get("x-coinslot-charged");
  const error = await errorOf(reply);
  const word = charged ?? error.charged;
  const isPaid = settlement?.success === true || word === "yes";
  if (isPaid) return { kind: reply.status === 410 ? "gone" : "owed", error };
  if (word !== "no") return { kind: "unknown", error };
  if (reply.status === 402) return { kind: "refused", error };
  return { kind: [408, 409, 425, 429].includes(reply.status) || reply.status >= 500 ? "later" : "not served", error };
};

const answerIt = async (reply, settlement, payment) => {
  const hasReceipt = settlement?.success === true;
  if (hasReceipt) showReceipt(reply, settlement, payment);
  try {
    await showAnswer(reply);
  } catch {
    const paid = hasReceipt ? " You have paid for it:" : "";
    throw new Trouble(`The answer broke off.${paid} Press "Get the answer" above, which sends the same payment and cannot pay twice.`);
  }
  if (!hasReceipt) {
    keep({ ...payment, mayBeDropped: true });
    showKept();
    say("warn", "The answer below came without a receipt, so it is not known whether it is the seller's and whether anything was charged. The payment is kept: press \"Get the answer\" above if this is not what you paid for. It cannot pay twice.");
    return;
  }
  forget(payment);
  say("good", `Paid ${on(payment.price)}. The answer is below.`);
};

// The end of a payment that brought no answer and will bring none.
const endOf = ({ kind, error }, reply, payment) => {
  const said = sentence(error?.message);
  switch (kind) {
    case "redirect":
      keep({ ...payment, mayBeDropped: true });
      showKept();
      return "The answer is a redirect, which a page cannot read: perhaps of a network that wants you to log in. It is not known whether the payment was taken. Do not pay again: press \"Get the answer\" above, which sends the same payment, or ask the seller.";
    case "gone":
      forget(payment);
      return `You have paid, and the answer is no longer kept. ${said}`;
    case "refused":
      forget(payment);
      return `The payment was not taken, and nothing was charged. ${said} Press the button to pay anew.`;
    default:
      if (error?.pointer) markPointer(error.pointer, error.message);
      forget(payment);
      return `The seller did not answer (${reply.status}), and nothing was charged. ${said}`;
  }
};

// Words for a payment that waits, and whether it is known not to be charged.
const waiting = ({ kind, error }) => {
  const said = sentence(error?.message);
  if (kind === "owed") return `You have paid, and the answer is owed to you. ${said}`;
  if (kind === "later") return `Nothing was charged yet. ${said}`;
  if (kind === "network") return "The connection was lost, and it is not known whether the payment was taken.";
  return `The payment is on its way, and its end is not known yet. ${said}`;
};

// Sends a payment until it is answered or refused. It is never signed again.
const redeem = async (payment) => {
  clear();
  say("work", `Paying ${on(payment.price)} and waiting for the answer.`);
  let last;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    let [reply, outcome] = [null, { kind: "network" }];
    try {
      reply = await transmit(payment.request, { "PAYMENT-SIGNATURE": payment.header });
      outcome = await outcomeOf(reply);
    } catch {
      // No answer, or one that broke off: the host may have the payment.
    }
    if (["answered", "without receipt"].includes(outcome.kind)) return answerIt(reply, outcome.settlement, payment);
    if (!["owed", "later", "unknown", "network"].includes(outcome.kind)) throw new Trouble(endOf(outcome, reply, payment));
    last = outcome;
    keep({ ...payment, mayBeDropped: outcome.kind === "later" });
    const asked = Number(reply?.headers.get("retry-after"));
    const wait = asked > 0 ? asked : Math.min(2 ** (attempt - 1), 15);
    // A long wait is a person's to end.
    if (wait > 30 || attempt === TRIES) break;
    say("warn", `${waiting(outcome)} The page asks again with the same payment in ${wait} s. Do not pay again.`);
    await pause(wait);
    say("work", "Asking again with the same payment.");
  }
  showKept();
  throw new Trouble(`${waiting(last)} Do not pay again: press "Get the answer" above later, also after you have closed this page. It sends the same payment.`);
};

// The answer to a request without a payment that asks for none.
const showUnpaid = async (reply) => {
  if (reply.type === "opaqueredirect") throw new Trouble("The answer is a redirect, which a page cannot read. Nothing was paid.");
  if (reply.status < 400) {
    await showAnswer(reply);
    const left = /^"pass";r=(\d+)/.exec(reply.headers.get("ratelimit") ?? "")?.[1];
    const why = left === undefined ? "This request is free." : `Your pass serves this request, and has ${left} more.`;
    say("good", data.isPaid ? `${why} The answer is below, and nothing was paid.` : "The answer is below.");
    return;
  }
  const error = await errorOf(reply);
  if (error.pointer) markPointer(error.pointer, error.message);
  const wait = Number(reply.headers.get("retry-after"));
  const later = reply.status === 503 || reply.status === 429 ? ` Try again ${wait > 0 ? `in ${wait} s` : "later"}.` : "";
  throw new Trouble(`${sentence(error.message) || `The host answered ${reply.status}.`}${later}${data.isPaid ? " Nothing was paid." : ""}`);
};

const buy = async () => {
  clear();
  if (data.isPaid && !data.pays) throw new Trouble("This page does not pay. See below how a program does.");
  const request = await readRequest();
  const earlier = kept().find((payment) => isSame(payment.request, request));
  if (earlier) return redeem(earlier);
  say("work", data.isPaid ? "Asking for the price." : "Waiting for the answer.");
  let first;
  try {
    first = await transmit(request);
  } catch {
    throw new Trouble(`The host does not answer. Look at your connection, and press the button again.${data.isPaid ? " Nothing was paid." : ""}`);
  }
  if (first.status !== 402 || !data.isPaid) return showUnpaid(first);
  const challenge = { ...readChallenge(first), readAt: Date.now() };
  const price = agreedPrice(challenge);
  return redeem(await signPayment(request, challenge, price));
};

// Does one work at a time, and says why it went no further.
let isWorking = false;
const working = async (work) => {
  if (isWorking) return;
  isWorking = true;
  document.documentElement.classList.add("working");
  try {
    await work();
  } catch (error) {
    const text = error instanceof Trouble ? error.message : `That did not work: ${String(error?.message ?? error).slice(0, 300)}. Nothing was paid, unless a payment is listed above.`;
    say("bad", text);
  } finally {
    isWorking = false;
    document.documentElement.classList.remove("working");
  }
};

form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  working(buy);
});
form.addEventListener("input", (event) => {
  if (event.target.dataset.name !== undefined) wrong(event.target, "");
});
for (const way of document.querySelectorAll("input[name=price]")) way.addEventListener("change", showPrices);
if (send) {
  send.hidden = false;
  if (data.isPaid) showPrices();
}
showKept();
