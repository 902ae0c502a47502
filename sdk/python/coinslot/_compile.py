"""Compiles type hints into nodes."""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import re
import types
import typing
import uuid

from . import _constraints
from ._constraints import STRING
from ._containers import Dict, List, Tuple, Union
from ._nodes import (
    Anything,
    Boolean,
    Choice,
    Formatted,
    Integer,
    Node,
    Null,
    Number,
    Text,
    Unsupported,
)
from ._structs import MISSING, Alias, Constrained, Field, Pydantic, Struct

UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|z|[+-][0-9]{2}:[0-9]{2})"


_DECIMAL = r"-?[0-9]{1,400}(\.[0-9]{1,400})?"


def _zone(text: str) -> str:
    """Python 3.10 reads neither a `Z` nor a fraction that has not three or six digits."""
    text = re.sub("[zZ]$", "+00:00", text)
    return re.sub(r"\.([0-9]+)", lambda found: "." + found[1].ljust(6, "0"), text)


FORMATTED = {
    datetime.datetime: lambda: Formatted(
        {"format": "date-time"},
        f"{_DATE}[Tt ]{_TIME}",
        lambda t: datetime.datetime.fromisoformat(_zone(t)),
        "a date and a time with its zone, such as 2026-01-31T12:30:00Z",
    ),
    datetime.date: lambda: Formatted(
        {"format": "date"}, _DATE, datetime.date.fromisoformat, "a date such as 2026-01-31"
    ),
    datetime.time: lambda: Formatted(
        {"format": "time"},
        _TIME,
        lambda t: datetime.time.fromisoformat(_zone(t)),
        "a time with its zone, such as 12:30:00Z",
    ),
    uuid.UUID: lambda: Formatted(
        {"format": "uuid"},
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        uuid.UUID,
        "a UUID such as 7e57d004-2b97-0e7a-b45f-5387367791cd",
    ),
    decimal.Decimal: lambda: Formatted(
        {"format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
        _DECIMAL,
        decimal.Decimal,
        'a decimal number as text, such as "12.50"',
    ),
    bytes: lambda: Formatted(
        {"contentEncoding": "base64"},
        r"[A-Za-z0-9+/]*={0,2}",
        lambda t: base64.b64decode(t, validate=True),
        "bytes in base64",
    ),
}


SIMPLE = {
    str: Text,
    int: Integer,
    float: Number,
    bool: Boolean,
    type(None): Null,
    None: Null,
    typing.Any: Anything,
    object: Anything,
}


class Compiler:
    """Compiles hints. Recursive types end at the node that is being made."""

    def __init__(self):
        self.structs: dict = {}

    def compile(self, hint, variables: dict | None = None) -> Node:
        variables = variables or {}
        if isinstance(hint, typing.TypeVar):
            return self.compile(variables.get(hint, typing.Any), {})
        if hint in _hashable(SIMPLE, hint):
            return SIMPLE[hint]()
        if hint in _hashable(FORMATTED, hint):
            return FORMATTED[hint]()
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is not None:
            return self._generic(hint, origin, arguments, variables)
        if hasattr(hint, "__supertype__"):
            return self.compile(hint.__supertype__, variables)
        if hasattr(hint, "__value__"):  # `type Name = ..`
            return self._alias(hint, variables)
        if inspect.isclass(hint):
            return self._class(hint, (), variables)
        raise Unsupported(f"{hint!r} is not a type that JSON can hold")

    def _generic(self, hint, origin, arguments, variables) -> Node:
        if origin is typing.Annotated:
            return self._annotated(arguments[0], hint.__metadata__, variables)
        if origin is typing.Literal:
            return Choice((value, value) for value in arguments)
        if origin in UNIONS:
            return Union([self.compile(argument, variables) for argument in arguments])
        if getattr(origin, "__name__", "") in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar") or getattr(
            origin, "_name", ""
        ) in ("Required", "NotRequired", "ReadOnly"):
            return self.compile(arguments[0], variables)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            return Tuple([self.compile(argument, variables) for argument in arguments])
        makes = {
            list: list,
            tuple: tuple,
            set: set,
            frozenset: frozenset,
            collections.abc.Sequence: list,
            collections.abc.Iterable: list,
            collections.abc.Collection: list,
            collections.abc.Set: frozenset,
            collections.abc.MutableSequence: list,
        }
        if origin in makes:
            return List(self.compile(arguments[0], variables), makes[origin])
        if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
            return self._dict(arguments, variables)
        if inspect.isclass(origin):
            return self._class(origin, arguments, variables)
        if hasattr(origin, "__value__"):
            bound = dict(zip(origin.__type_params__, arguments))
            return self.compile(origin.__value__, variables | bound)
        raise Unsupported(f"{hint!r} is not a type that JSON can hold")

    def _alias(self, hint, variables) -> Node:
        if hint in self.structs:
            return self.structs[hint]
        alias = self.structs[hint] = Alias(hint.__name__)
        alias.node = self.compile(hint.__value__, variables)
        for name in ("kind", "is_text", "is_many", "is_structured"):
            setattr(alias, name, getattr(alias.node, name))
        return alias

    def _annotated(self, hint, notes, variables) -> Node:
        node, keywords = self.compile(hint, variables), {}
        for note in notes:
            try:
                keywords |= _constraints.keywords_of(note, node.kind)
            except ValueError as error:
                raise Unsupported(str(error)) from None
        if isinstance(node, Struct) and keywords.get("additionalProperties") is True:
            node = node.opened()
        try:
            return Constrained(node, keywords) if keywords else node
        except re.error as error:
            raise Unsupported(f"the pattern {keywords['pattern']!r} is no regular expression: {error}") from None

    def _dict(self, arguments, variables) -> Node:
        key = self.compile(arguments[0], variables)
        if key.kind != STRING:
            raise Unsupported(f"the keys of a JSON object are text: write dict[str, ..], not {arguments[0]!r}")
        return Dict(key, self.compile(arguments[1], variables))

    def _class(self, cls, arguments, variables) -> Node:
        if cls in (list, tuple, set, frozenset):
            return List(Anything(), cls)
        if cls is dict:
            return Dict(Text(), Anything())
        if issubclass(cls, enum.Enum):
            return self._enum(cls)
        if hasattr(cls, "model_json_schema"):
            raise Unsupported(
                f"{cls.__name__} is a model of pydantic 2, which has no build for WASI: write "
                "pydantic==1.10.* into your requirements, or make it a dataclass"
            )
        if hasattr(cls, "__fields__") and hasattr(cls, "parse_obj"):
            return Pydantic(cls)
        key = (cls, tuple(map(repr, arguments)), tuple(repr(variables.get(p)) for p in arguments if p in variables))
        if key in self.structs:
            return self.structs[key]
        bound = variables | dict(zip(getattr(cls, "__parameters__", ()), arguments))
        if dataclasses.is_dataclass(cls):
            return self._dataclass(key, cls, arguments, bound)
        if _is_typed_dict(cls):
            return self._typed_dict(key, cls, bound)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._named_tuple(key, cls, bound)
        for base, simple in ((bool, Boolean), (str, Text), (int, Integer), (float, Number)):
            if issubclass(cls, base):
                return simple()
        raise Unsupported(
            f"{cls.__name__} is not a type that JSON can hold: make it a dataclass, a TypedDict or an Enum"
        )

    @staticmethod
    def _enum(cls) -> Node:
        for member in cls:
            if not isinstance(member.value, (str, int, float, bool)):
                raise Unsupported(f"{cls.__name__}.{member.name} has no JSON value: give it text or a number")
        return Choice((member.value, member) for member in cls)

    def _dataclass(self, key, cls, arguments, variables) -> Node:
        name = re.sub(r"\W+", "_", cls.__name__ + "".join(f"_{getattr(a, '__name__', 'of')}" for a in arguments))
        doc = inspect.cleandoc(cls.__doc__ or "")
        doc = "" if doc.startswith(f"{cls.__name__}(") else doc
        node = self.structs[key] = Struct(name, cls, doc)
        hints, fields = _hints(cls), []
        for field in dataclasses.fields(cls):
            if field.init:
                default = field.default if field.default is not dataclasses.MISSING else MISSING
                is_required = default is MISSING and field.default_factory is dataclasses.MISSING
                fields.append(Field(field.name, self._field(cls, field.name, hints, variables), is_required, default))
        node.fill(fields)
        return node

    def _typed_dict(self, key, cls, variables) -> Node:
        doc = inspect.cleandoc(cls.__doc__ or "")
        node = self.structs[key] = Struct(cls.__name__, dict, "" if doc.startswith("dict(") else doc)
        fields = []
        for name, hint in _hints(cls).items():
            outer = getattr(typing.get_origin(hint), "_name", None)
            is_required = outer == "Required" or outer != "NotRequired" and name in cls.__required_keys__
            fields.append(Field(name, self._field(cls, name, {name: hint}, variables), is_required))
        node.fill(fields)
        return node

    def _named_tuple(self, key, cls, variables) -> Node:
        hints = _hints(cls)
        node = self.structs[key] = Tuple([], cls._make)
        node.items = [self._field(cls, name, hints, variables) if name in hints else Anything() for name in cls._fields]
        node.required = len(node.items) - len(cls._field_defaults)
        node.make = lambda values: cls(*values)
        return node

    def _field(self, cls, name, hints, variables) -> Node:
        try:
            return self.compile(hints[name], variables)
        except Unsupported as error:
            text = str(error)
            raise Unsupported(
                text if text.startswith("the field ") else f"the field {cls.__name__}.{name}: {text}"
            ) from None


def _hints(cls) -> dict:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise Unsupported(f"{cls.__name__} names a type that its module does not have: {error}") from None


def _hashable(table, hint):
    try:
        hash(hint)
    except TypeError:
        return ()
    return table


def _is_typed_dict(cls) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__") and hasattr(cls, "__total__")
