from dataclasses import dataclass
from typing import Annotated

from coinslot import Length, Refusal, get, post


@get("/{{name}}", free=True)
def index() -> str:
    """Says what is sold here"""
    return "POST a text to /{{name}}/count\n"


@dataclass
class Document:
    text: Annotated[str, Length(1, 10_000)]


@dataclass
class Count:
    words: int
    longest: str


@post("/{{name}}/count", price="0.001")
def count(document: Document) -> Count:
    """Counts the words of a text"""
    words = document.text.split()
    if not words:
        raise Refusal(400, "no_words", "Send a text with at least one word.")
    return Count(len(words), max(words, key=len))
