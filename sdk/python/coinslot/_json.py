"""Reads and writes values as JSON."""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import re
import sys
import uuid

from ._text import utf8

# The deepest arrays and objects that are read: also what the host lets through. A component's stack ends before Python
# raises RecursionError.
DEEPEST = 127

# A string that does not end is one, too: else each quotation mark in it would be tried as a beginning.
# The engine keeps a state for each repetition that it may take back, 60 bytes for each escape, unless it may not.
_ONCE = b"+" if sys.version_info >= (3, 11) else b""
_MARK = re.compile(rb'"[^"\\]*%b(?:\\.[^"\\]*%b)*%b"?|[\[\]{}]' % (_ONCE, _ONCE, _ONCE), re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def load_json(body: bytes):
    """The value of a body. Raises ValueError for what is not JSON, and for what programs read differently: other
    encodings than UTF-8, a name that occurs twice, half of a surrogate pair (RFC 7493, sections 2.1 and 2.3)."""
    if _is_too_deep(body):
        raise ValueError(f"it nests deeper than {DEEPEST} levels")
    text = body.removeprefix(b"\xef\xbb\xbf").decode()
    value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    if _SURROGATE.search(body):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a string has half of a surrogate pair, which is no character") from None
    return value


def _is_too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for mark in _MARK.finditer(body):
        if mark[0] in b"[{":
            depth += 1
            if depth > DEEPEST:
                return True
        elif mark[0] in b"]}":
            depth -= 1
    return False


class DuplicateName(ValueError):
    """A name that occurs twice in an object."""


def _object(pairs):
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise DuplicateName(f"the name {name[:40]!r} occurs twice in an object")
    return fields


def _no_constant(text: str):
    raise ValueError(f"{text} is no number of JSON")


def to_plain(value):
    """What `json.dumps` cannot write itself; raises TypeError for what has no JSON."""
    if value is None or isinstance(value, (str, int, float, bool)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value) if isinstance(value, uuid.UUID) else format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except TypeError:
            return list(value)
    if isinstance(value, (list, tuple, dict)):
        return value
    if hasattr(value, "parse_obj") and hasattr(value, "json"):
        return json.loads(value.json())
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON: answer a dataclass, a dict, a list, text or a number")


def json_text(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def repr_json(value) -> str:
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else json_text(value)


def dump_json(value) -> bytes:
    """A value as JSON. Raises TypeError or ValueError for what has none."""
    text = json.dumps(value, default=to_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return utf8(text)
