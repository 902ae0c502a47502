"""Defines what `Annotated[..]` may hold beside a type, and checks JSON Schema's keywords on values."""

import difflib
import math
import re
from fractions import Fraction

from ._errors import Invalid
from ._json import to_plain

NUMBER, STRING, ARRAY, OBJECT = "number", "string", "array", "object"

# Keyword -> the kind of JSON value that it constrains; None where it fits every kind.
KEYWORDS = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"), STRING),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"), ARRAY),
    **dict.fromkeys(("minProperties", "maxProperties", "propertyNames", "patternProperties"), OBJECT),
    **dict.fromkeys(("additionalProperties", "dependentRequired", "dependentSchemas"), OBJECT),
    **dict.fromkeys(("enum", "const", "title", "description", "default", "examples", "deprecated"), None),
    **dict.fromkeys(("readOnly", "writeOnly", "$comment", "not", "if", "then", "else"), None),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), None),
}


class Body:
    """Marks the argument that is the body, where its type does not say so: `Annotated[list[int], Body]`."""


class Header:
    """Marks an argument that is a header field: `Annotated[str, Header("x-tier")]`, or `Header` for the argument's
    own name with hyphens."""

    def __init__(self, name: str | None = None):
        self.name = name


class Range:
    """Bounds of a number, both inclusive: `Annotated[int, Range(1, 100)]`. None leaves an end open."""

    def __init__(self, minimum=None, maximum=None):
        self.minimum, self.maximum = minimum, maximum

    def keywords(self, kind: str) -> dict:
        if kind != NUMBER:
            raise ValueError("Range bounds an int or a float; for the length of text or of a list write Length")
        return _present(minimum=self.minimum, maximum=self.maximum)


class Length:
    """Bounds of a length, both inclusive: characters of text, items of a list, keys of a dict."""

    def __init__(self, minimum: int | None = None, maximum: int | None = None):
        self.minimum, self.maximum = minimum, maximum

    def keywords(self, kind: str) -> dict:
        words = {STRING: "Length", ARRAY: "Items", OBJECT: "Properties"}
        if kind not in words:
            raise ValueError("Length bounds text, a list or a dict; for a number write Range")
        return _present(**{f"min{words[kind]}": self.minimum, f"max{words[kind]}": self.maximum})


class Pattern:
    """A regular expression that occurs in the text: `Pattern(r"^[a-z]+$")`."""

    def __init__(self, pattern: str):
        self.pattern = pattern

    def keywords(self, kind: str) -> dict:
        if kind != STRING:
            raise ValueError("Pattern is for text")
        return {"pattern": self.pattern}


def _present(**keywords) -> dict:
    return {name: value for name, value in keywords.items() if value is not None}


def keywords_of(note, kind: str) -> dict:
    """The JSON Schema keywords that one note of an `Annotated` stands for. Raises ValueError for a note that has no
    meaning."""
    if isinstance(note, str):
        return {"description": note}
    if isinstance(note, (Range, Length, Pattern)):
        return note.keywords(kind)
    if isinstance(note, dict):
        for name in note:
            if name not in KEYWORDS:
                close = difflib.get_close_matches(str(name), KEYWORDS, 1)
                raise ValueError(
                    f"{name!r} is not a keyword of JSON Schema" + (f"; write {close[0]!r}" if close else "")
                )
            if KEYWORDS[name] not in (None, kind) and kind != "any":
                raise ValueError(f"{name!r} is for a JSON {KEYWORDS[name]}, and this is a JSON {kind}")
        return note
    return {}


def _long(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _unique(value) -> bool:
    """Callers choose the number of items, so no item is compared with all others."""
    return len({_hashable(item) for item in value}) == len(value)


def _hashable(value):
    """A value that is equal for equal values of JSON, in which `true` is not 1."""
    value = to_plain(value)
    if isinstance(value, dict):
        return "object", frozenset((name, _hashable(of)) for name, of in value.items())
    if isinstance(value, (list, tuple)):
        return "array", tuple(map(_hashable, value))
    return isinstance(value, bool), value


def _multiple(value, of) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        quotient = value / of
        return abs(quotient - round(quotient)) <= 1e-9 * max(1, abs(quotient))
    except OverflowError:  # no float can hold the number or the quotient
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return Fraction(repr(value) if isinstance(value, float) else value) % Fraction(repr(of)) == 0


_KINDS = {NUMBER: (int, float), STRING: str, ARRAY: list, OBJECT: dict}


def checks_of(keywords: dict) -> list:
    """The keywords that this SDK checks itself, each with a predicate and the reason of a refusal. The host checks the
    others."""
    out = []

    def add(name, predicate, reason):
        if name in keywords:
            limit, kinds = keywords[name], _KINDS.get(KEYWORDS[name], object)
            out.append((name, lambda value: not isinstance(value, kinds) or predicate(value, limit), reason(limit)))

    add("minimum", lambda v, n: v >= n, lambda n: f"must be at least {n}")
    add("maximum", lambda v, n: v <= n, lambda n: f"must be at most {n}")
    add("exclusiveMinimum", lambda v, n: v > n, lambda n: f"must be more than {n}")
    add("exclusiveMaximum", lambda v, n: v < n, lambda n: f"must be less than {n}")
    add("multipleOf", _multiple, lambda n: f"must be a multiple of {n}")
    for suffix, word in (("Length", "character"), ("Items", "item"), ("Properties", "key")):
        add(f"min{suffix}", lambda v, n: len(v) >= n, lambda n, word=word: f"must have at least {_long(n, word)}")
        add(f"max{suffix}", lambda v, n: len(v) <= n, lambda n, word=word: f"must have at most {_long(n, word)}")
    if "pattern" in keywords:
        search = re.compile(keywords["pattern"]).search
        add("pattern", lambda v, n: search(v) is not None, lambda n: f"must match {n}")
    add("uniqueItems", lambda v, n: not n or _unique(v), lambda n: "must not have an item twice")
    add("enum", lambda v, n: v in n, lambda n: "must be one of " + ", ".join(map(repr, n)))
    add("const", lambda v, n: v == n, lambda n: f"must be {n!r}")
    return out


def check(checks: list, value) -> None:
    """Raises Invalid for the first check that fails."""
    for rule, predicate, reason in checks:
        if not predicate(value):
            raise Invalid(reason, rule=rule)
