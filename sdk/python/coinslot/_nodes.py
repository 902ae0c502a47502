"""Defines what hints are compiled into.

Each node has a JSON Schema, and reads JSON or text into a value of its type. Here are those of scalars.
"""

import re

from ._constraints import NUMBER, STRING
from ._errors import Invalid
from ._json import json_text, repr_json
from ._route import NotEncoded

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

    def text_schema(self, context: Context) -> dict:
        """The schema in a path or query."""
        return self.schema(context)

    def read(self, value):
        """The Python value of a JSON value. Raises Invalid."""
        return value

    def form(self, fields: dict):
        """The JSON value that the fields of a form stand for. Raises Invalid."""
        return fields

    def text(self, text: str):
        """The JSON value that a text in a path or query stands for. Raises Invalid."""
        return text

    def texts(self, texts: list):
        """The JSON value that the texts of a repeated key stand for, where `is_many`. What a form has beside text, as
        files, stays as it is. Raises Invalid."""
        return texts


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
        if isinstance(value, NotEncoded):
            raise Invalid("is not percent-encoded UTF-8: write %25 for a percent sign", rule="encoding")
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
        self.rule = "format" if "format" in keywords else "contentEncoding"

    def schema(self, context):
        return {"type": "string", **self.keywords}

    def read(self, value):
        if isinstance(value, str) and self.matches(value):
            try:
                return self.convert(value)
            except (ValueError, ArithmeticError):
                pass
        raise Invalid(self.reason, rule=self.rule)


class Choice(Node):
    """One of some JSON values: `Literal` and `Enum`."""

    is_text, rule = True, "enum"

    def __init__(self, pairs):
        """`pairs` has a JSON value and the Python value for each choice."""
        self.pairs = list(pairs)
        self.by_value = {(type(value), value): python for value, python in self.pairs}
        self.by_text = {json_text(value): value for value, _ in self.pairs if value is not None}
        kinds = {type(value) for value, _ in self.pairs}
        self.type = {
            frozenset({str}): "string",
            frozenset({int}): "integer",
            frozenset({bool}): "boolean",
            frozenset({float}): "number",
        }.get(frozenset(kinds))
        self.kind = {"string": STRING, "integer": NUMBER, "number": NUMBER}.get(self.type, "any")
        self.reason = "must be " + " or ".join(
            filter(None, (", ".join(repr_json(v) for v, _ in self.pairs[:-1]), repr_json(self.pairs[-1][0])))
        )

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
            raise Invalid(self.reason, rule=self.rule)
        return found

    def text(self, text):
        if text not in self.by_text:
            raise Invalid(self.reason, rule=self.rule)
        return self.by_text[text]
