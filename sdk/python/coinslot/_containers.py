"""Defines the nodes of types that hold others: unions, lists, tuples and dicts."""

from ._constraints import ARRAY, OBJECT
from ._errors import Invalid
from ._json import repr_json
from ._nodes import Node, Null, Text


class Union(Node):
    def __init__(self, members):
        self.members = members
        others = [node for node in members if not isinstance(node, Null)]
        self.is_optional = len(others) < len(members)
        self.others = others
        self.is_text = all(node.is_text for node in others)
        self.is_many = any(node.is_many for node in others)
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
        """Without null, which a path or query cannot write."""
        if len(self.others) == 1:
            return self.others[0].text_schema(context)
        return {"anyOf": [node.text_schema(context) for node in self.others]}

    def read(self, value):
        problems = []
        for node in self._tagged(value) or self.members:
            try:
                return node.read(value)
            except Invalid as problem:
                problems.append(problem)
        raise self._problem(problems)

    def _tagged(self, value):
        """The members whose tags the value has, such as `kind: Literal["cat"]`. Raises Invalid for an unknown tag."""
        if not isinstance(value, dict):
            return ()
        tagged = [(node, getattr(node, "tags", ())) for node in self.others]
        fitting = [node for node, tags in tagged if tags and all(value.get(name) == tag for name, tag in tags)]
        names = {tags[0][0] if len(tags) == 1 else None for _, tags in tagged}
        if not fitting and len(names) == 1 and (name := names.pop()) in value and name is not None:
            raise Invalid("must be " + " or ".join(repr_json(tags[0][1]) for _, tags in tagged), name, rule="enum")
        return fitting

    def text(self, text):
        return self._first((node, node.text, text) for node in self.others)

    def texts(self, texts):
        if len(self.others) == 1:
            return self.others[0].texts(texts)
        is_single = len(texts) == 1 and isinstance(texts[0], str)
        return self._first(
            (node, node.texts, texts) if node.is_many else (node, node.text, texts[0])
            for node in self.others
            if node.is_many or is_single
        )

    def _first(self, ways):
        """The value of the first member that fits. `ways` has members, each with what reads its text, and the text."""
        problems = []
        for node, read_text, text in ways:
            try:
                value = read_text(text)
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
        reasons = list(dict.fromkeys(problem.reason.removeprefix("must be ") for problem in problems))
        return Invalid("must be " + ", or ".join(reasons), rule=problems[0].rule if len(reasons) == 1 else "anyOf")


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
            raise Invalid("must not have an item twice", rule="uniqueItems")
        return made

    def texts(self, texts):
        out = []
        try:
            for text in texts:
                out.append(self.item.text(text) if isinstance(text, str) else text)
        except Invalid as problem:
            problem.path.append(len(out))
            raise
        return out


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
            rule = "type" if not isinstance(value, list) else "minItems" if len(value) < self.required else "maxItems"
            raise Invalid(f"must be a list of {len(self.items)}", rule=rule)
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
