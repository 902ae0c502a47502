"""Pays every order with the published Python client (x402 over httpx), at its default settings.

    python pay.py --dev-json dev.json [--plugin NAME]... [--payer N]

The same orders and the same checks as purchases.mjs: 402 and then 200, the receipt, the one Transfer on chain, and both
balances.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from pathlib import Path

import httpx
from eth_account import Account
from x402 import x402Client
from x402.http.clients import x402HttpxClient
from x402.http.utils import decode_payment_response_header
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner

CLIENT = "x402 2.25.0 (Python, httpx)"
BALANCE_OF = "0x70a08231"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


class CheckFailed(Exception):
    """A failed check; the message names it."""


def check(condition: bool, message: str) -> None:
    if not condition:
        raise CheckFailed(message)


def same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


class Chain:
    def __init__(self, rpc: str, asset: str) -> None:
        self.rpc = rpc
        self.asset = asset
        self.http = httpx.AsyncClient()

    async def call(self, method: str, *params: object) -> object:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        reply = (await self.http.post(self.rpc, json=request)).json()
        check("result" in reply, f"{method}: {reply.get('error')}")
        return reply["result"]

    async def balance_of(self, holder: str) -> int:
        data = BALANCE_OF + holder.removeprefix("0x").lower().rjust(64, "0")
        return int(await self.call("eth_call", {"to": self.asset, "data": data}, "latest"), 16)

    async def transfers(self, transaction: str) -> list[tuple[str, str, int]]:
        receipt = await self.call("eth_getTransactionReceipt", transaction)
        check(receipt is not None and receipt["status"] == "0x1", f"transaction {transaction} has not succeeded")
        return [
            ("0x" + log["topics"][1][-40:], "0x" + log["topics"][2][-40:], int(log["data"], 16))
            for log in receipt["logs"]
            if same(log["address"], self.asset) and log["topics"][0] == TRANSFER
        ]


async def buy(host: dict, chain: Chain, http: x402HttpxClient, statuses: list[int], order: dict) -> None:
    price = int(order["price"])
    payer, seller = host["payer"]["address"], host["payTo"]
    before = (await chain.balance_of(payer), await chain.balance_of(seller))

    body = {}
    if "body" in order:
        body = {"json": order["body"]}
    elif "text" in order:
        body = {"content": order["text"].encode(), "headers": {"content-type": "text/markdown"}}
    statuses.clear()
    started = time.monotonic()
    response = await http.request(order["method"], host["url"] + order["path"], **body)
    ms = round((time.monotonic() - started) * 1000)

    answer = response.text
    check(response.status_code == 200, f"answered {response.status_code}: {answer[:500]}")
    check(statuses == [402, 200], f"the client saw {statuses}, not 402 and then 200")
    kind = response.headers.get("content-type", "")
    check(kind.startswith(order["type"]), f"content-type is {kind}, not {order['type']}")
    for part in order["contains"]:
        check(part in answer, f"the answer has no {part!r}: {answer[:500]}")

    header = response.headers.get("PAYMENT-RESPONSE")
    check(header is not None, "the answer has no PAYMENT-RESPONSE header")
    receipt = decode_payment_response_header(header)
    check(receipt.success is True, f"the receipt says {receipt}")
    check(re.fullmatch("0x[0-9a-fA-F]{64}", receipt.transaction) is not None, f"the receipt has no transaction: {receipt}")
    check(same(receipt.payer or "", payer), f"the receipt names the payer {receipt.payer}")

    transfers = await chain.transfers(receipt.transaction)
    check(
        [(f.lower(), t.lower(), v) for f, t, v in transfers] == [(payer.lower(), seller.lower(), price)],
        f"{receipt.transaction} does not move {price} from payer to seller alone",
    )
    after = (await chain.balance_of(payer), await chain.balance_of(seller))
    check(before[0] - after[0] == price, f"the payer's balance moved by {after[0] - before[0]}, not by -{price}")
    check(after[1] - before[1] == price, f"the seller's balance moved by {after[1] - before[1]}, not by {price}")
    line = {
        "client": CLIENT,
        "order": f"{order['method']} {order['path']}",
        "status": response.status_code,
        "paid": order["price"],
        "transaction": receipt.transaction,
        "ms": ms,
    }
    print(json.dumps(line, separators=(",", ":")), flush=True)


async def main() -> int:
    arguments = argparse.ArgumentParser(description="Pays every order with the published Python client.")
    arguments.add_argument("--dev-json", default=".coinslot/dev.json")
    arguments.add_argument("--plugin", action="append", default=[])
    arguments.add_argument("--payer", type=int, default=0)
    given = arguments.parse_args()
    host = json.loads(Path(given.dev_json).read_text())
    host["payer"] = host["payers"][given.payer]
    orders = json.loads(Path(__file__).with_name("orders.json").read_text())
    orders = [order for order in orders if not given.plugin or order["plugin"] in given.plugin]
    check(bool(orders), f"orders.json has nothing of {', '.join(given.plugin)}")

    wallet = register_exact_evm_client(x402Client(), EthAccountSigner(Account.from_key(host["payer"]["privateKey"])))
    chain = Chain(host["rpc"], host["asset"])
    order = {"method": "", "path": ""}
    statuses: list[int] = []
    try:
        async with x402HttpxClient(wallet) as http:
            watch(http, statuses)
            for order in orders:
                await buy(host, chain, http, statuses, order)
    except CheckFailed as broken:
        print(f"{order['method']} {order['path']}: {broken}", file=sys.stderr)
        return 1
    finally:
        await chain.http.aclose()
    return 0


def watch(http: x402HttpxClient, statuses: list[int]) -> None:
    """Records the statuses below the client, which has to see 402 and then 200."""
    below = http._transport._transport  # no public way to see both answers
    send = below.handle_async_request

    async def noted(request: httpx.Request) -> httpx.Response:
        response = await send(request)
        statuses.append(response.status_code)
        return response

    below.handle_async_request = noted


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
