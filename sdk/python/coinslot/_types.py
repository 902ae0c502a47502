"""Compiles type hints into nodes: each node has a JSON Schema, and reads JSON or text into a value of its type."""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import difflib
import enum
import inspect
import re
import sys
import types
import typing
import uuid

from . import _constraints
from ._constraints import ARRAY, NUMBER, OBJECT, STRING, Body, Header
from ._errors import Invalid

UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
_MISSING = object()


class Unsupported(TypeError):
    """A type hint that has no JSON Schema here."""


class Context:
    """Collects `$defs` while a schema is made."""

    def __init__(self, roots, output: bool = False):
        self.output, self.defs = output, {}
        self.names: dict[int, str] = {}
        self.counts: dict[int, int] = {}
        for root in roots:
            self._count(root)

    def _count(self, node) -> None:
        seen = self.counts.get(id(node), 0)
        self.counts[id(node)] = seen + 1
        if not seen:
            for child in node.children():
                self._count(child)

    def reference(self, node) -> dict:
        """The schema of a named node: in place if it occurs once, else by `$ref`."""
        if self.counts.get(id(node), 0) < 2:
            return node.body(self)
        if id(node) not in self.names:
            name, number = node.name, 2
            while name in self.defs:
                name, number = f"{node.name}{number}", number + 1
            self.names[id(node)] = name
            self.defs[name] = {}
            self.defs[name] = node.body(self)
        return {"$ref": f"#/$defs/{self.names[id(node)]}"}

    def define(self, definitions: dict) -> None:
        """Adds definitions that another library made."""
        for name, definition in definitions.items():
            if self.defs.setdefault(name, definition) != definition:
                raise Unsupported(f"two models are named {name}: rename one")


class Node:
    """A compiled type hint."""

    kind = "any"  # the kind of its JSON value
    is_text = False  # whether a path or a query can hold it
    is_many = False  # whether it takes the values of a repeated key
    is_structured = False  # whether an argument of this type is the body

    def children(self):
        return ()

    def schema(self, context: Context) -> dict:
        return {}

    def read(self, value):
        """The Python value of a JSON value. Raises Invalid."""
        return value

    def text(self, text: str):
        """The JSON value that a text in a path or query stands for. Raises Invalid."""
        return text


class Anything(Node):
    is_structured = True


class Null(Node):
    kind = "null"

    def schema(self, context):
        return {"type": "null"}

    def read(self, value):
        if value is not None:
            raise Invalid("must be null")


class Text(Node):
    kind, is_text = STRING, True

    def schema(self, context):
        return {"type": "string"}

    def read(self, value):
        if not isinstance(value, str):
            raise Invalid("must be text")
        return value


class Boolean(Node):
    kind, is_text = "boolean", True

    def schema(self, context):
        return {"type": "boolean"}

    def read(self, value):
        if not isinstance(value, bool):
            raise Invalid("must be true or false")
        return value

    def text(self, text):
        if text not in ("true", "false"):
            raise Invalid("must be true or false")
        return text == "true"


class Integer(Node):
    kind, is_text = NUMBER, True
    _text = re.compile(r"-?[0-9]{1,400}")

    def schema(self, context):
        return {"type": "integer"}

    def read(self, value):
        # bool is an int in Python, and JSON's 3.0 is an integer.
        if type(value) is int:
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise Invalid("must be a whole number")

    def text(self, text):
        if not self._text.fullmatch(text):
            raise Invalid("must be a whole number")
        return int(text)


class Number(Node):
    kind, is_text = NUMBER, True
    _text = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")

    def schema(self, context):
        return {"type": "number"}

    def read(self, value):
        if type(value) is float:
            return value
        if type(value) is not int:
            raise Invalid("must be a number")
        try:
            return float(value)
        except OverflowError:
            raise Invalid("must be a number that a double can hold") from None

    def text(self, text):
        if not self._text.fullmatch(text) or float(text) in (float("inf"), float("-inf")):
            raise Invalid("must be a number")
        return float(text)


class Formatted(Node):
    """Text with a format, as a Python type."""

    kind, is_text = STRING, True

    def __init__(self, keywords: dict, pattern: str, convert, example: str):
        self.keywords, self.convert, self.reason = keywords, convert, f"must be {example}"
        self.matches = re.compile(pattern).fullmatch

    def schema(self, context):
        return {"type": "string", **self.keywords}

    def read(self, value):
        if isinstance(value, str) and self.matches(value):
            try:
                return self.convert(value)
            except (ValueError, ArithmeticError):
                pass
        raise Invalid(self.reason)


_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|z|[+-][0-9]{2}:[0-9]{2})"
_DECIMAL = r"-?[0-9]{1,400}(\.[0-9]{1,400})?"


def _zone(text: str) -> str:
    """Python 3.10 reads neither a `Z` nor a fraction that has not three or six digits."""
    text = re.sub("[zZ]$", "+00:00", text)
    return re.sub(r"\.([0-9]+)", lambda found: "." + found[1].ljust(6, "0"), text)


FORMATTED = {
    datetime.datetime: lambda: Formatted(
        {"format": "date-time"}, f"{_DATE}[Tt ]{_TIME}", lambda t: datetime.datetime.fromisoformat(_zone(t)),
        "a date and a time with its zone, such as 2026-01-31T12:30:00Z"),
    datetime.date: lambda: Formatted(
        {"format": "date"}, _DATE, datetime.date.fromisoformat, "a date such as 2026-01-31"),
    datetime.time: lambda: Formatted(
        {"format": "time"}, _TIME, lambda t: datetime.time.fromisoformat(_zone(t)),
        "a time with its zone, such as 12:30:00Z"),
    uuid.UUID: lambda: Formatted(
        {"format": "uuid"}, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uuid.UUID,
        "a UUID such as 7e57d004-2b97-0e7a-b45f-5387367791cd"),
    decimal.Decimal: lambda: Formatted(
        {"format": "decimal", "pattern": f"^{_DECIMAL}$"}, _DECIMAL, decimal.Decimal,
        'a decimal number as text, such as "12.50"'),
    bytes: lambda: Formatted(
        {"contentEncoding": "base64"}, r"[A-Za-z0-9+/]*={0,2}", lambda t: base64.b64decode(t, validate=True),
        "bytes in base64"),
}
SIMPLE = {str: Text, int: Integer, float: Number, bool: Boolean, type(None): Null, None: Null,
          typing.Any: Anything, object: Anything}


class Choice(Node):
    """One of some JSON values: `Literal` and `Enum`."""

    is_text = True

    def __init__(self, pairs):
        """`pairs` has a JSON value and the Python value for each choice."""
        self.pairs = list(pairs)
        self.by_value = {(type(value), value): python for value, python in self.pairs}
        self.by_text = {json_text(value): value for value, _ in self.pairs if value is not None}
        kinds = {type(value) for value, _ in self.pairs}
        self.type = {frozenset({str}): "string", frozenset({int}): "integer", frozenset({bool}): "boolean",
                     frozenset({float}): "number"}.get(frozenset(kinds))
        self.kind = {"string": STRING, "integer": NUMBER, "number": NUMBER}.get(self.type, "any")
        self.reason = "must be " + " or ".join(filter(None, (
            ", ".join(repr_json(v) for v, _ in self.pairs[:-1]), repr_json(self.pairs[-1][0]))))

    def schema(self, context):
        typed = {"type": self.type} if self.type else {}
        return {**typed, "enum": [value for value, _ in self.pairs]}

    def read(self, value):
        try:
            found = self.by_value.get((type(value), value), _MISSING)
        except TypeError:
            found = _MISSING
        if found is _MISSING and isinstance(value, float) and value.is_integer():
            found = self.by_value.get((int, int(value)), _MISSING)
        if found is _MISSING:
            raise Invalid(self.reason)
        return found

    def text(self, text):
        if text not in self.by_text:
            raise Invalid(self.reason)
        return self.by_text[text]


def json_text(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def repr_json(value) -> str:
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else json_text(value)


class Union(Node):
    def __init__(self, members):
        self.members = members
        others = [node for node in members if not isinstance(node, Null)]
        self.is_optional = len(others) < len(members)
        self.others = others
        self.is_text = all(node.is_text for node in others)
        self.is_many = len(others) == 1 and others[0].is_many
        self.is_structured = any(node.is_structured for node in others)
        kinds = {node.kind for node in others}
        self.kind = kinds.pop() if len(kinds) == 1 else "any"

    def children(self):
        return self.members

    def schema(self, context):
        schemas = [node.schema(context) for node in self.members]
        if all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": schemas}

    def text_schema(self, context):
        """The schema in a path or query, where null cannot be written."""
        if len(self.others) == 1:
            return text_schema(self.others[0], context)
        return {"anyOf": [text_schema(node, context) for node in self.others]}

    def read(self, value):
        problems = []
        for node in self.members:
            try:
                return node.read(value)
            except Invalid as problem:
                problems.append(problem)
        raise self._problem(problems)

    def text(self, text):
        problems = []
        for node in self.others:
            try:
                value = node.text(text)
                node.read(value)
                return value
            except Invalid as problem:
                problems.append(problem)
        raise self._problem(problems)

    @staticmethod
    def _problem(problems):
        """The problem of the member that fits best: the one that failed at the deepest place."""
        deepest = max(problems, key=lambda problem: len(problem.path))
        if deepest.path:
            return deepest
        missing = [problem for problem in problems if problem.reason.startswith(("lacks", "has no"))]
        if missing:
            return missing[0]
        reasons = list(dict.fromkeys(problem.reason.removeprefix("must be ") for problem in problems))
        return Invalid("must be " + ", or ".join(reasons))


class List(Node):
    kind = ARRAY

    def __init__(self, item: Node, make=list):
        self.item, self.make = item, make
        self.is_text = self.is_many = item.is_text and not item.is_many
        self.is_structured = not self.is_text

    def children(self):
        return (self.item,)

    def schema(self, context):
        unique = {"uniqueItems": True} if self.make in (set, frozenset) else {}
        return {"type": "array", "items": self.item.schema(context), **unique}

    def read(self, value):
        if not isinstance(value, list):
            raise Invalid("must be a list")
        out, read = [], self.item.read
        try:
            for item in value:
                out.append(read(item))
        except Invalid as problem:
            problem.path.append(len(out))
            raise
        made = out if self.make is list else self.make(out)
        if len(made) != len(out):
            raise Invalid("must not have an item twice")
        return made

    def text(self, text):
        return self.item.text(text)


class Tuple(Node):
    """A list of a fixed length: `tuple[A, B]` and `NamedTuple`."""

    kind, is_structured = ARRAY, True

    def __init__(self, items, make=tuple, required=None):
        self.items, self.make = items, make
        self.required = len(items) if required is None else required

    def children(self):
        return self.items

    def schema(self, context):
        items = [item.schema(context) for item in self.items]
        least = len(items) if context.output else self.required
        return {"type": "array", "prefixItems": items, "minItems": least, "maxItems": len(items)}

    def read(self, value):
        if not isinstance(value, list) or not self.required <= len(value) <= len(self.items):
            raise Invalid(f"must be a list of {len(self.items)}")
        out = []
        try:
            for node, item in zip(self.items, value):
                out.append(node.read(item))
        except Invalid as problem:
            problem.path.append(len(out))
            raise
        return self.make(out)


class Dict(Node):
    kind, is_structured = OBJECT, True

    def __init__(self, key: Node, value: Node):
        self.key, self.value = key, value

    def children(self):
        return (self.key, self.value)

    def schema(self, context):
        names = {} if type(self.key) is Text else {"propertyNames": self.key.schema(context)}
        value = self.value.schema(context)
        return {"type": "object", **({"additionalProperties": value} if value else {}), **names}

    def read(self, value):
        if not isinstance(value, dict):
            raise Invalid("must be an object")
        out = {}
        for key, item in value.items():
            try:
                out[self.key.read(key)] = self.value.read(item)
            except Invalid as problem:
                problem.path.append(key)
                raise
        return out


@dataclasses.dataclass
class Field:
    name: str
    node: Node
    is_required: bool
    default: object = _MISSING


class Struct(Node):
    """A dataclass or TypedDict."""

    kind, is_structured = OBJECT, True

    def __init__(self, name: str, make, description: str = "", is_open: bool = False):
        self.name, self.make, self.description, self.is_open = name, make, description, is_open
        self.fields: list[Field] = []

    def fill(self, fields: list[Field]) -> None:
        self.fields = fields
        self.by_name = {field.name: field for field in fields}
        self.required = [field.name for field in fields if field.is_required]

    def opened(self) -> "Struct":
        node = Struct(self.name, self.make, self.description, True)
        node.fill(self.fields)
        return node

    def children(self):
        return [field.node for field in self.fields]

    def schema(self, context):
        return context.reference(self)

    def body(self, context):
        out: dict = {"type": "object"}
        if self.description:
            out["description"] = self.description
        out["properties"] = {field.name: self._property(field, context) for field in self.fields}
        always = context.output and self.make is not dict
        required = [field.name for field in self.fields if field.is_required or always]
        if required:
            out["required"] = required
        return out if self.is_open else out | {"additionalProperties": False}

    @staticmethod
    def _property(field, context):
        schema = field.node.schema(context)
        if field.default is _MISSING or context.output:
            return schema
        try:
            return schema | {"default": to_plain(field.default)}
        except TypeError:
            return schema

    def read(self, value):
        if not isinstance(value, dict):
            raise Invalid("must be an object")
        for name in self.required:
            if name not in value:
                raise Invalid(f'lacks "{name}"')
        out = {}
        for name, item in value.items():
            field = self.by_name.get(name)
            if field is None:
                if self.is_open:
                    continue
                raise Invalid(self._unknown(name))
            try:
                out[name] = field.node.read(item)
            except Invalid as problem:
                problem.path.append(name)
                raise
        try:
            return self.make(**out)
        except Invalid:
            raise
        except ValueError as error:
            raise Invalid(str(error) or "is not valid") from None

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.by_name, 1)
        hint = f'did you mean "{close[0]}"?' if close else "it has " + (", ".join(self.by_name) or "no fields")
        return f'has no field "{name[:64]}": {hint}'


class Pydantic(Node):
    """A model of pydantic 1."""

    kind, is_structured = OBJECT, True

    def __init__(self, model):
        self.model, self.name = model, model.__name__

    def schema(self, context):
        schema = self.model.schema(ref_template="#/$defs/{model}")
        context.define(schema.pop("definitions", {}))
        return schema

    def read(self, value):
        if not isinstance(value, dict):
            raise Invalid("must be an object")
        try:
            return self.model.parse_obj(value)
        except ValueError as error:
            if not hasattr(error, "errors"):
                raise
            first = error.errors()[0]
            path = [key for key in first["loc"] if key != "__root__"]
            raise Invalid(first["msg"], *reversed(path)) from None


class Alias(Node):
    """A `type Name = ..`, which may name itself."""

    is_structured = True

    def __init__(self, name: str):
        self.name, self.node = name, None

    def children(self):
        return (self.node,)

    def schema(self, context):
        return context.reference(self)

    def body(self, context):
        return self.node.schema(context)

    def read(self, value):
        return self.node.read(value)

    def text(self, text):
        return self.node.text(text)


class Constrained(Node):
    """A type with the keywords of its `Annotated`."""

    def __init__(self, node: Node, keywords: dict):
        self.node, self.keywords = node, keywords
        self.checks = _constraints.checks_of(keywords)
        self.kind, self.is_text = node.kind, node.is_text
        self.is_many, self.is_structured = node.is_many, node.is_structured

    def children(self):
        return (self.node,)

    def schema(self, context):
        return self.node.schema(context) | self.keywords

    def read(self, value):
        out = self.node.read(value)
        if value is not None:
            _constraints.check(self.checks, value)
        return out

    def text(self, text):
        return self.node.text(text)


def text_schema(node: Node, context: Context) -> dict:
    """The schema of a parameter in a path or query."""
    if isinstance(node, Constrained):
        return text_schema(node.node, context) | node.keywords
    return node.text_schema(context) if isinstance(node, Union) else node.schema(context)


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
        if getattr(origin, "__name__", "") in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar") or \
                getattr(origin, "_name", "") in ("Required", "NotRequired", "ReadOnly"):
            return self.compile(arguments[0], variables)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            return Tuple([self.compile(argument, variables) for argument in arguments])
        makes = {list: list, tuple: tuple, set: set, frozenset: frozenset, collections.abc.Sequence: list,
                 collections.abc.Iterable: list, collections.abc.Collection: list, collections.abc.Set: frozenset,
                 collections.abc.MutableSequence: list}
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
            raise Unsupported(f"{cls.__name__} is a model of pydantic 2, which has no build for WASI: write "
                              "pydantic==1.10.* into your requirements, or make it a dataclass")
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
        raise Unsupported(f"{cls.__name__} is not a type that JSON can hold: make it a dataclass, a TypedDict or an Enum")

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
                default = field.default if field.default is not dataclasses.MISSING else _MISSING
                is_required = default is _MISSING and field.default_factory is dataclasses.MISSING
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
            raise Unsupported(text if text.startswith("the field ") else f"the field {cls.__name__}.{name}: {text}") from None


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


# --- values to JSON -------------------------------------------------------------------------------------------------


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
        return sys.modules["json"].loads(value.json())
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON: answer a dataclass, a dict, a list, text or a number")


__all__ = ["Body", "Compiler", "Context", "Header", "Node", "Unsupported", "text_schema", "to_plain"]
