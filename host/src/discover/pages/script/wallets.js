// Finds the wallets of the browser (EIP-6963, else EIP-1193), and asks one of them.
const announced = new Map();

window.addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = event.detail ?? {};
  if (typeof info?.uuid !== "string" || typeof provider?.request !== "function") return;
  const icon = typeof info.icon === "string" && /^data:image\//.test(info.icon) ? info.icon : null;
  announced.set(info.uuid, { name: String(info.name ?? "Wallet").slice(0, 60), icon, provider });
});
window.dispatchEvent(new Event("eip6963:requestProvider"));

// A wallet of the development chain, whose host signs. It asks nobody, because nothing is at stake.
const testWallet = () => {
  const { address, chainId, path } = data.testWallet;
  const ask = async (query) => {
    const reply = await fetch(`${data.base}${path}?${query}`);
    if (!reply.ok) throw new Error("the host does not sign");
    return reply.json();
  };
  const request = async ({ method, params }) => {
    switch (method) {
      case "eth_requestAccounts": return [address];
      case "eth_chainId": return `0x${chainId.toString(16)}`;
      case "eth_call": return (await ask("balance")).balance;
      case "eth_signTypedData_v4": {
        const { to, value, validAfter, validBefore, nonce } = JSON.parse(params[1]).message;
        return (await ask(new URLSearchParams({ to, value, validAfter, validBefore, nonce }))).signature;
      }
      default: throw Object.assign(new Error("not known"), { code: 4200 });
    }
  };
  return { name: "Test wallet", note: "not money, on this machine only", icon: null, provider: { request } };
};

const wallets = () => {
  const found = [...announced.values()];
  if (found.length === 0 && typeof window.ethereum?.request === "function") {
    found.push({ name: "The wallet of this browser", icon: null, provider: window.ethereum });
  }
  return data.testWallet ? [...found, testWallet()] : found;
};

// Lets a person choose a wallet, if there are several.
const chooseWallet = () =>
  new Promise((resolve, reject) => {
    const found = wallets();
    if (found.length === 0) {
      reject(new Trouble(
        "This browser has no wallet that the page can ask. Install a wallet, or open the page in the browser of your wallet's app, and load it again; or pay from a program as shown below. Nothing was paid.",
      ));
      return;
    }
    if (found.length === 1) {
      resolve(found[0]);
      return;
    }
    const place = part("wallets");
    const done = (act) => () => {
      place.hidden = true;
      act();
    };
    const choice = (wallet) => {
      const chosen = button(wallet.name, done(() => resolve(wallet)));
      if (wallet.icon) chosen.prepend(element("img", { src: wallet.icon, alt: "", width: 20, height: 20 }));
      if (wallet.note) chosen.append(element("span", { className: "mark" }, wallet.note));
      return element("li", {}, chosen);
    };
    const cancel = element("button", { type: "button", className: "plain" }, "Do not pay");
    cancel.addEventListener("click", done(() => reject(new Trouble("Nothing was paid."))));
    place.replaceChildren(element("h3", {}, "Choose a wallet"), element("ul", {}, ...found.map(choice)), cancel);
    place.hidden = false;
    silence();
    place.querySelector("button").focus();
  });

const isRejected = (error) => error?.code === 4001 || error?.code === "ACTION_REJECTED";

// Asks a wallet. What a person declines is no error of the wallet.
const ask = async (wallet, method, params, declined) => {
  try {
    return await wallet.provider.request(params === undefined ? { method } : { method, params });
  } catch (error) {
    if (isRejected(error)) throw new Trouble(declined);
    if (error?.code === -32002) throw new Trouble("Your wallet already waits for you: open it, answer what it asks, and press the button again. Nothing was paid.");
    throw error;
  }
};

const connect = async (wallet) => {
  say("work", `Your wallet asks whether this page may see your account: ${wallet.name}.`);
  const accounts = await ask(wallet, "eth_requestAccounts", undefined, "You did not let the page see an account. Nothing was paid. Press the button again to pay.");
  if (!Array.isArray(accounts) || typeof accounts[0] !== "string") throw new Trouble("Your wallet has no account for this page. Choose one in the wallet, and press the button again. Nothing was paid.");
  return accounts[0];
};

const isOnChain = async (wallet, price) => BigInt(await ask(wallet, "eth_chainId")) === BigInt(price.chainId);

// Brings the wallet to the network of the price, and has it add the network if it does not know it.
const useChain = async (wallet, price) => {
  if (await isOnChain(wallet, price)) return;
  const stayed = `The payment is on ${price.networkName}, and your wallet is on another network. Switch it to ${price.networkName} (chain ${price.chainId}), and press the button again. Nothing was paid.`;
  say("work", `Your wallet asks whether to switch to ${price.networkName}.`);
  const chain = [{ chainId: `0x${price.chainId.toString(16)}` }];
  try {
    await ask(wallet, "wallet_switchEthereumChain", chain, stayed);
  } catch (error) {
    if (error instanceof Trouble) throw error;
    const isUnknown = error?.code === 4902 || error?.data?.originalError?.code === 4902;
    if (!isUnknown || !price.toAdd) throw new Trouble(stayed);
    say("work", `Your wallet does not know ${price.networkName}, and asks whether to add it.`);
    try {
      await ask(wallet, "wallet_addEthereumChain", [price.toAdd], stayed);
      // Some wallets add a network and stay where they are.
      if (!(await isOnChain(wallet, price))) await ask(wallet, "wallet_switchEthereumChain", chain, stayed);
    } catch (error) {
      throw error instanceof Trouble ? error : new Trouble(stayed);
    }
  }
  if (!(await isOnChain(wallet, price))) throw new Trouble(stayed);
};

// Makes sure that the account has the money. A wallet that cannot tell is believed.
const checkFunds = async (wallet, account, price) => {
  say("work", "Reading the balance of your account.");
  const input = `0x70a08231${account.slice(2).toLowerCase().padStart(64, "0")}`;
  let balance;
  try {
    balance = BigInt(await ask(wallet, "eth_call", [{ to: price.asset, data: input }, "latest"]));
  } catch {
    return;
  }
  if (balance >= BigInt(price.amount)) return;
  const has = `${decimal(balance, price.decimals)} ${price.symbol}`;
  throw new Trouble(`The account ${account} has ${has} on ${price.networkName}, and the price is ${money(price)}. Send ${price.symbol} there, or choose another account in your wallet, and press the button again. No gas is needed. Nothing was paid.`);
};
