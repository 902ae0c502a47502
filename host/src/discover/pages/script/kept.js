// Keeps signed payments until they are answered: whoever loses one cannot fetch what it buys. They are in the storage of
// this origin, each with its request.
const PREFIX = "coinslot.payment.";

const keep = (payment) => localStorage.setItem(PREFIX + payment.nonce, JSON.stringify(payment));
const forget = (payment) => {
  localStorage.removeItem(PREFIX + payment.nonce);
  showKept();
};

// The payments for this endpoint whose answers have not arrived, the oldest first.
const kept = () => {
  const found = [];
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (!key.startsWith(PREFIX)) continue;
      const payment = JSON.parse(localStorage.getItem(key));
      if (payment.route === data.route && payment.header) found.push(payment);
    }
  } catch {
    // No storage, or something in it that this page has not written.
  }
  return found.sort((one, other) => one.signedAt - other.signedAt);
};

// Makes sure that a payment can be kept before it is signed. A header takes some kilobytes.
const reserveRoom = (payment) => {
  try {
    keep({ ...payment, header: "0".repeat(16384) });
    localStorage.removeItem(PREFIX + payment.nonce);
  } catch {
    throw new Trouble(
      "Nothing was paid: this browser cannot keep the payment, which is needed to fetch its answer again. Allow the page to store data, send a smaller body, or pay from a program as shown below.",
    );
  }
};

// Lists the payments that wait for their answers.
const showKept = () => {
  const payments = kept();
  part("kept").hidden = payments.length === 0;
  part("kept-list").replaceChildren(
    ...payments.map((payment) => {
      const isOver = payment.mayBeDropped || payment.validBefore < Date.now() / 1000;
      const get = button("Get the answer", () => working(() => redeem(payment)));
      get.setAttribute("aria-label", `Get the answer to the payment of ${on(payment.price)}`);
      const drop = element("button", { type: "button", className: "plain" }, "Forget this payment");
      drop.addEventListener("click", () => forget(payment));
      return element(
        "div",
        { className: "kept" },
        element("p", {}, `You signed a payment of ${on(payment.price)} at ${time(payment.signedAt)}, and its answer has not arrived.`),
        element("p", { className: "quiet" }, element("code", {}, `${payment.request.method} ${payment.request.url}`)),
        element("p", { className: "quiet" }, "To ask again sends the same payment, which cannot pay twice."),
        element("div", { className: "row" }, get, ...(isOver ? [drop] : [])),
      );
    }),
  );
};
