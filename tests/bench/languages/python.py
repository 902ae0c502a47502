"""What tests/bench/costs measures: the same three endpoints in each language."""

import asyncio

from coinslot import get, post


@get("/free", free=True)
def free() -> dict[str, str]:
    """A small answer"""
    return {"hello": "world"}


@post("/paid", price="0.01")
def paid() -> str:
    """A small answer, paid"""
    return "as asked"


@get("/wait", free=True)
async def wait() -> str:
    """Waits"""
    await asyncio.sleep(5)
    return "waited"
