"""Uses each part of the SDK that only a host can test."""

import asyncio
import secrets
import sys
from dataclasses import dataclass
from typing import Annotated

from coinslot import (
    Body,
    FetchError,
    Header,
    Length,
    Receipt,
    Redirect,
    Refusal,
    Request,
    check_config,
    config,
    fetch,
    fetch_async,
    get,
    patch,
    plugin,
    post,
    store,
)

plugin(name="features", version="1.2.3")


@check_config
def knows_its_unit():
    if config("unit", "calls") not in ("calls", "times"):
        raise ValueError('`unit` is "calls" or "times"')


@dataclass
class Node:
    """A tree, which names its own type."""

    value: int
    children: "list[Node]"


@post("/tree", price="0.001")
def tree(node: Node) -> int:
    return node.value + sum(tree(child) for child in node.children)


def by_tier(text: str, tier: str) -> str:
    if text == "broken":
        raise RuntimeError("the quote broke")
    return "0" if tier == "free" else f"{len(text) * 0.001:.3f}"


@get("/tiers/{text}", quoted="0.01", quote=by_tier)
def tiers(text: Annotated[str, Length(1, 10)], tier: Annotated[str, Header("x-tier")] = "basic") -> str:
    return f"{tier} {text}"


@get("/paid", price="0.01")
def paid(receipt: Receipt | None) -> dict:
    return {"payer": receipt.payer, "amount": receipt.amount, "network": receipt.network}


@get("/count", free=True)
def count(request: Request) -> dict:
    calls = store.increment("calls")
    store.set_json("last", {"calls": calls})
    store.set_many({"a/1": "x", "a/2": b"y"})
    keys = sorted(store.list("a/"))
    return {
        "calls": calls,
        "unit": config("unit", "calls"),
        "last": store.json("last"),
        "keys": keys,
        "many": {key: value.decode() for key, value in store.get_many(["a/1", "none"]).items()},
        "has": ["calls" in store, "none" in store],
        "other": store.bucket("other").get("calls"),
    }


@get("/fetch", free=True)
def fetched(url: str) -> dict:
    try:
        reply = fetch(url, method="POST", json={"a": 1}, headers={"x-a": "b"}, timeout=5)
    except FetchError as error:
        return {"error": error.code, "message": str(error)}
    return {"status": reply.status, "body": reply.text(), "type": reply.headers.get("content-type")}


@get("/both", free=True)
async def both(url: list[str]) -> list[int]:
    replies = await asyncio.gather(*(fetch_async(one) for one in url))
    return [reply.status for reply in replies]


@get("/sleep", free=True)
async def sleep() -> dict:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(asyncio.sleep(0.2) for _ in range(10)))
    try:
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()
    except TimeoutError:
        return {"seconds": loop.time() - started}
    return {}


@patch("/upload", free=True)
def upload(request: Request) -> dict:
    sizes = [len(piece) for piece in request.stream()]
    return {"bytes": sum(sizes), "pieces": len(sizes)}


@post("/echo", free=True)
def echo(data: bytes) -> bytes:
    return data


@post("/words", free=True)
def words(text: Annotated[str, Body]) -> list[str]:
    return text.split()


@get("/dice", free=True)
def dice() -> int:
    return secrets.randbelow(1 << 30)


@get("/away", free=True)
def away() -> Redirect:
    return Redirect("/dice")


@get("/absent", free=True)
def absent(there: bool = False) -> str | None:
    return "here" if there else None


@get("/events", free=True)
async def events(n: int = 3):
    """Events, one each tenth of a second"""
    if n > 10:
        raise Refusal(400, "too_many", "at most 10")
    for i in range(n):
        yield {"event": "tick", "data": {"i": i}}
        await asyncio.sleep(0.1)


@get("/loop", price="0.001")
def loop() -> str:
    while True:
        pass


@get("/version", free=True)
def version() -> list[int]:
    return list(sys.version_info[:2])
