// Stands in for the wallets of a browser: each truly signs with its key, and does otherwise what a test tells it.
//
// A wallet: { "name", "key": its private key, "chain": the id of its chain, "known": the ids of the chains that it knows,
//   "declines": the methods that its person declines, "legacy": true for one that is found as window.ethereum alone }
// Every call of a page is counted.
import { privateKeyToAccount } from "viem/accounts";

const rejected = { code: 4001, message: "User rejected the request." };

export class Wallet {
  constructor(told, rpc) {
    Object.assign(this, { chain: 84532, known: [84532], declines: [], ...told });
    this.account = privateKeyToAccount(told.key);
    this.rpc = rpc;
    this.calls = [];
  }

  // Answers a call as { result } or { error }.
  async answer(method, params) {
    this.calls.push(method);
    if (this.declines.includes(method)) return { error: rejected };
    try {
      return { result: await this.run(method, params) };
    } catch (error) {
      return { error: { code: error.code ?? -32603, message: String(error.message) } };
    }
  }

  async run(method, params) {
    switch (method) {
      case "eth_requestAccounts":
        return [this.account.address];
      case "eth_chainId":
        return `0x${this.chain.toString(16)}`;
      case "wallet_switchEthereumChain": {
        const asked = Number(params[0].chainId);
        if (!this.known.includes(asked)) throw Object.assign(new Error("Unrecognized chain ID."), { code: 4902 });
        this.chain = asked;
        return null;
      }
      case "wallet_addEthereumChain": {
        const [{ chainId, rpcUrls, chainName, nativeCurrency }] = params;
        if (!rpcUrls[0].startsWith("https://") || !chainName || nativeCurrency.decimals !== 18) throw new Error("a wrong chain");
        this.known.push(Number(chainId));
        return null;
      }
      case "eth_signTypedData_v4":
        return this.sign(params);
      default:
        return this.ask(method, params);
    }
  }

  async sign([address, json]) {
    const { types, domain, primaryType, message } = JSON.parse(json);
    if (address !== this.account.address || domain.chainId !== this.chain) throw new Error("another account or chain");
    const { EIP712Domain, ...own } = types;
    if (EIP712Domain.length !== 4) throw new Error("another domain");
    await this.beforeSigning?.();
    return this.account.signTypedData({ domain, types: own, primaryType, message });
  }

  async ask(method, params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const reply = await (await fetch(this.rpc, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
    if (reply.error) throw reply.error;
    return reply.result;
  }
}

// Announces wallets to a page. Runs within it, before its own scripts.
export const announce = (wallets) => {
  const provider = (index) => ({
    request: async ({ method, params }) => {
      const { result, error } = await globalThis.askWallet(index, method, params);
      if (error) throw Object.assign(new Error(error.message), error);
      return result;
    },
  });
  wallets.forEach(({ name, legacy }, index) => {
    if (legacy) {
      globalThis.ethereum = provider(index);
      return;
    }
    const icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4'/%3E%3C/svg%3E";
    const info = { uuid: `00000000-0000-4000-8000-00000000000${index}`, name, icon, rdns: `example.wallet${index}` };
    const detail = Object.freeze({ info, provider: provider(index) });
    const tell = () => globalThis.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
    globalThis.addEventListener("eip6963:requestProvider", tell);
    tell();
  });
};
