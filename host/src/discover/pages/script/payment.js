// Reads the price of a request, and signs a payment of it (x402 version 2, scheme exact, EIP-3009).
const TYPES = {
  EIP712Domain: [
    { name: "name", type: "string" },
    { name: "version", type: "string" },
    { name: "chainId", type: "uint256" },
    { name: "verifyingContract", type: "address" },
  ],
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

// The longest validity of a payment, in seconds, whatever is asked for.
const LONGEST = 3600;

// The price that the page shows for each way to pay. The button pays these and no others.
let shown = data.prices;

// The challenge of a 402: its document, and the price for each way to pay that this page knows, in the order of `shown`.
const readChallenge = (reply) => {
  const header = reply.headers.get("payment-required");
  if (!header) throw new Trouble("The price cannot be read, so nothing was paid. Pay from a program as shown below.");
  const document = decodeHeader(header);
  const seconds = Date.parse(reply.headers.get("date") ?? "") / 1000;
  const entryOf = (price) =>
    document.accepts.find(
      (entry) =>
        entry.scheme === "exact" && entry.network === price.network && entry.asset.toLowerCase() === price.asset.toLowerCase() &&
        price.chainId !== null && (entry.extra?.assetTransferMethod ?? "eip3009") === "eip3009" &&
        typeof entry.extra?.name === "string" && typeof entry.extra?.version === "string",
    );
  // Payments are valid by the clock of the host, which a person's own may be off from.
  return { document, entryOf, now: Number.isFinite(seconds) ? seconds : Math.floor(Date.now() / 1000) };
};

const chosen = () => Number(document.querySelector("input[name=price]:checked")?.value ?? 0);

// Shows the prices of a challenge. Returns the one that is chosen, or throws if it is not the one that a person saw.
const agreedPrice = (challenge) => {
  const index = chosen();
  const before = shown[index];
  shown = shown.map((price) => {
    const entry = challenge.entryOf(price);
    return entry ? { ...price, amount: entry.amount, payTo: entry.payTo } : price;
  });
  const now = shown[index];
  if (!challenge.entryOf(now)) throw new Trouble(`${now.symbol} on ${now.networkName} is not taken now, or not by this page. Choose another way to pay. Nothing was paid.`);
  const isAsShown = !data.atMost && before.amount === now.amount && before.payTo === now.payTo;
  const asMost = data.atMost ? " as the most" : "";
  data.atMost = false;
  showPrices();
  if (isAsShown) return now;
  const isReceiver = before.amount === now.amount && before.payTo !== now.payTo;
  const text = isReceiver
    ? `The receiver has changed since this page was made: it is ${now.payTo} now. Nothing was paid. Press the button again to pay ${money(now)} to it.`
    : `The price of this request is ${money(now)}, and this page showed ${money(before)}${asMost}. Nothing was paid. Press the button again to pay ${money(now)}.`;
  throw new Trouble(text);
};

const showPrices = () => {
  for (const place of document.querySelectorAll("[data-amount]")) place.textContent = money(shown[place.dataset.amount]);
  for (const place of document.querySelectorAll("[data-receiver] code")) place.textContent = shown[place.parentElement.closest("[data-receiver]").dataset.receiver].payTo;
  const price = shown[chosen()];
  document.querySelector("[data-price]").textContent = data.atMost ? `up to ${money(price)}` : money(price);
  if (send) send.textContent = data.atMost ? "Ask for the price" : `Pay ${money(price)}`;
};

const nonce = () => `0x${[...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

// Has a payment signed, and keeps it before anything is sent.
const signPayment = async (request, challenge, price) => {
  const wallet = await chooseWallet();
  const account = await connect(wallet);
  await useChain(wallet, price);
  await checkFunds(wallet, account, price);
  const entry = challenge.entryOf(price);
  // The time that the person took is over.
  const passed = Math.floor((Date.now() - challenge.readAt) / 1000);
  const now = challenge.now + passed;
  const authorization = {
    from: account,
    to: entry.payTo,
    value: entry.amount,
    validAfter: "0",
    validBefore: String(now + Math.min(entry.maxTimeoutSeconds, LONGEST)),
    nonce: nonce(),
  };
  const payment = {
    route: data.route,
    request,
    price: { ...price, payTo: entry.payTo, amount: entry.amount },
    payer: account,
    nonce: authorization.nonce,
    signedAt: Math.floor(Date.now() / 1000),
    validBefore: Math.floor(Date.now() / 1000) + Math.min(entry.maxTimeoutSeconds, LONGEST),
  };
  reserveRoom(payment);
  const typed = {
    types: TYPES,
    primaryType: "TransferWithAuthorization",
    domain: { name: entry.extra.name, version: entry.extra.version, chainId: price.chainId, verifyingContract: entry.asset },
    message: authorization,
  };
  say("work", `Your wallet asks you to sign a payment of ${on(price)} to ${entry.payTo}. It costs no gas.`);
  const declined = "You did not sign, so nothing was paid. Press the button again to pay.";
  const signature = await ask(wallet, "eth_signTypedData_v4", [account, JSON.stringify(typed)], declined);
  if (typeof signature !== "string" || !/^0x[0-9a-f]+$/i.test(signature)) throw new Trouble("Your wallet gave no signature, so nothing was paid. Try another wallet.");
  const { resource, extensions } = challenge.document;
  payment.header = encodeHeader({ x402Version: 2, resource, accepted: entry, payload: { signature, authorization }, extensions });
  keep(payment);
  showKept();
  return payment;
};
