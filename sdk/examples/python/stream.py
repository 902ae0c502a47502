"""Server-sent events, each sent as soon as it is made. Such an answer is paid before it begins.

coinslot pay 'http://127.0.0.1:8402/countdown?start=3'
"""

import asyncio
from typing import Annotated

from coinslot import Range, get


@get("/countdown", price="0.002")
async def countdown(start: Annotated[int, Range(1, 60)] = 3):
    """Counts down"""
    for seconds in range(start, 0, -1):
        yield {"event": "tick", "data": {"seconds": seconds}}
        await asyncio.sleep(1)
    yield {"event": "end", "data": "lift-off"}
