"""Writes values as JSON."""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import uuid


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
    return text.encode()
