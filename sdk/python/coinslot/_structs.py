"""Defines the nodes of types that have a name or keywords: dataclasses, TypedDicts, models, aliases, `Annotated`."""

import dataclasses
import difflib

from . import _constraints
from ._constraints import OBJECT
from ._errors import Invalid
from ._json import to_plain
from ._nodes import Choice, Node

MISSING = object()


@dataclasses.dataclass
class Field:
    name: str
    node: Node
    is_required: bool
    default: object = MISSING


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
        # What tells it from the other members of a union: fields that have one value only.
        choices = [(field.name, field.node.pairs) for field in fields if isinstance(field.node, Choice)]
        self.tags = [(name, pairs[0][0]) for name, pairs in choices if len(pairs) == 1]

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
        if field.default is MISSING or context.output:
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
                raise Invalid("is missing", name, rule="required")
        out = {}
        for name, item in value.items():
            field = self.by_name.get(name)
            if field is None:
                if self.is_open:
                    continue
                raise Invalid(self._unknown(name), name, rule="additionalProperties")
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
            raise Invalid(str(error) or "is not valid", rule=None) from None

    def form(self, fields):
        out = {}
        for name, value in fields.items():
            node = self.by_name[name].node if name in self.by_name else None
            try:
                if node is not None and node.is_many:
                    out[name] = node.texts(value if isinstance(value, list) else [value])
                elif node is not None and node.is_text and isinstance(value, str):
                    out[name] = node.text(value)
                else:
                    out[name] = value
            except Invalid as problem:
                problem.path.append(name)
                raise
        return out

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.by_name, 1)
        hint = f'did you mean "{close[0]}"?' if close else "it has " + (", ".join(self.by_name) or "no fields")
        return f"is not known: {hint}"


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
            raise Invalid(first["msg"], *reversed(path), rule=None) from None


class Alias(Node):
    """A `type Name = ..`, which may name itself."""

    is_structured = True

    def __init__(self, name: str):
        self.name, self.node = name, None

    def children(self):
        return (self.node,)

    def schema(self, context):
        return context.reference(self)

    def text_schema(self, context):
        return self.node.text_schema(context)

    def body(self, context):
        return self.node.schema(context)

    def read(self, value):
        return self.node.read(value)

    def text(self, text):
        return self.node.text(text)

    def texts(self, texts):
        return self.node.texts(texts)


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

    def text_schema(self, context):
        return self.node.text_schema(context) | self.keywords

    def read(self, value):
        out = self.node.read(value)
        if value is not None:
            _constraints.check(self.checks, value)
        return out

    def form(self, fields):
        return self.node.form(fields)

    def text(self, text):
        return self.node.text(text)

    def texts(self, texts):
        return self.node.texts(texts)
