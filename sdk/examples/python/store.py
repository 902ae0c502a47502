"""Short links: who makes one pays, who follows one does not.

They are kept in the plugin's key-value store, which the operator grants:

    [plugin.store]
    keyvalue = true

coinslot pay http://127.0.0.1:8402/links -d '{"url": "https://example.com/a/long/way"}'
"""

from dataclasses import dataclass
from typing import Annotated

from coinslot import Length, Pattern, Redirect, Refusal, get, post, store

LINKS = store.bucket("links")
VISITS = store.bucket("visits")


@dataclass
class Link:
    url: Annotated[str, Pattern(r"^https?://[!-~]+$"), Length(1, 2_000)]


def url_of(code: str) -> str:
    url = LINKS.text(code)
    if url is None:
        raise Refusal(404, "no_such_link", "make a link with POST /links")
    return url


# Paid first, because it has a side effect: without the payment nothing is kept.
@post("/links", price="0.005", upfront=True)
def shorten(link: Link) -> dict[str, str]:
    """Makes a short link"""
    code = f"{store.increment('links'):x}"  # atomic: no two links have the same
    LINKS.set(code, link.url)
    return {"code": code, "path": f"/links/{code}"}


@get("/links/{code}", free=True)
def follow(code: str) -> Redirect:
    """Leads to the page behind a short link"""
    url = url_of(code)
    VISITS.increment(code)
    return Redirect(url)


@get("/links/{code}/visits", price="0.001")
def visits(code: str) -> dict[str, int]:
    """Counts the visits of a short link"""
    url_of(code)
    return {"visits": int(VISITS.text(code, "0"))}
