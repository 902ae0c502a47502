"""Buys every order over MCP with the published clients for Python: x402.mcp pays what a call of mcp asks for.

    python pay-mcp.py --dev-json dev.json [--plugin NAME]... [--payer N]
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from eth_account import Account
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from x402 import x402Client
from x402.mcp.client import x402MCPSession
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner


def check(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(message)


def is_for(tool, order: dict, url: str) -> bool:
    endpoint = tool.meta["coinslot/endpoint"]
    return (endpoint["method"], endpoint["url"]) == (order["method"], url + urlsplit(order["path"]).path)


async def main() -> None:
    arguments = argparse.ArgumentParser(description="Buys every order over MCP with the published clients for Python.")
    arguments.add_argument("--dev-json", default=".coinslot/dev.json")
    arguments.add_argument("--plugin", action="append", default=[])
    arguments.add_argument("--payer", type=int, default=0)
    given = arguments.parse_args()
    host = json.loads(Path(given.dev_json).read_text())
    orders = json.loads(Path(__file__).with_name("orders.json").read_text())
    orders = [order for order in orders if not given.plugin or order["plugin"] in given.plugin]
    key = host["payers"][given.payer]["privateKey"]
    wallet = register_exact_evm_client(x402Client(), EthAccountSigner(Account.from_key(key)))
    async with (
        streamablehttp_client(host["url"] + "/mcp") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = (await session.list_tools()).tools
        paying = x402MCPSession(session, wallet)
        for order in orders:
            tool = next((tool for tool in tools if is_for(tool, order, host["url"])), None)
            check(tool is not None, f"no tool is {order['method']} {order['path']}")
            query = dict(parse_qsl(urlsplit(order["path"]).query))
            body = order.get("body", order.get("text"))
            call = {**({"query": query} if query else {}), **({} if body is None else {"body": body})}
            result = await paying.call_tool(tool.name, call)
            check(not result.is_error and result.payment_made, f"{tool.name}: {result}")
            check(result.payment_response.success, f"{tool.name}: {result.payment_response}")
            answer = "".join(getattr(content, "text", "") for content in result.content)
            for part in order["contains"]:
                check(part in answer, f"{tool.name} has no {part!r}: {answer[:500]}")
    print(f"ok: x402.mcp 2.25.0 bought {len(orders)} orders by MCP")


asyncio.run(main())
