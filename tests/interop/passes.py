"""Buys a pass with the published Python client and its sign-in-with-x extension, and returns without paying.

    python passes.py --dev-json dev.json --route /PATH --requests N

The same expectations as passes.mjs.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from eth_account import Account
from pay import CheckFailed, check
from x402 import x402Client
from x402.extensions.sign_in_with_x import CreateSIWxClientExtensionOptions, create_siwx_client_extension
from x402.http.clients import x402HttpxClient
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner


async def ask(http: x402HttpxClient, url: str, contains: str) -> tuple[bool, str]:
    """Whether the answer was paid, and what is left."""
    response = await http.get(url)
    check(response.status_code == 200 and contains in response.text, f"{response.status_code}: {response.text[:500]}")
    return "PAYMENT-RESPONSE" in response.headers, response.headers.get("ratelimit", "")


async def main() -> int:
    arguments = argparse.ArgumentParser(description="Buys a pass with the published Python client.")
    arguments.add_argument("--dev-json", default=".coinslot/dev.json")
    arguments.add_argument("--route", required=True)
    arguments.add_argument("--requests", type=int, required=True)
    given = arguments.parse_args()
    host = json.loads(Path(given.dev_json).read_text())
    orders = json.loads(Path(__file__).with_name("orders.json").read_text())
    gets = [order for order in orders if order["method"] == "GET"]
    order = next(order for order in gets if order["path"].partition("?")[0] == given.route)
    # Other clients pay as the first two accounts, and may have passes of them.
    account = Account.from_key(host["payers"][2]["privateKey"])
    client = register_exact_evm_client(x402Client(), EthAccountSigner(account))
    client.register_extension(create_siwx_client_extension(CreateSIWxClientExtensionOptions(signers=[account])))
    url, contains = host["url"] + order["path"], order["contains"][0]
    try:
        async with x402HttpxClient(client) as http:
            paid, left = await ask(http, url, contains)
            check(paid, "the first request is paid")
            for rest in reversed(range(given.requests)):
                paid, left = await ask(http, url, contains)
                check(not paid and left.startswith(f'"pass";r={rest}'), f"by the pass: {paid}, {left}")
            paid, left = await ask(http, url, contains)
            check(paid, f"the pass is used up: {left}")
    except CheckFailed as failed:
        print(f"failed: {failed}", file=sys.stderr)
        return 1
    print(f"ok: one payment, {given.requests} requests by its pass, and another payment")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
