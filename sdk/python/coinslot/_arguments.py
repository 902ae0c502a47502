"""Reads the arguments of an endpoint from a request; refuses what does not fit, with a JSON pointer and the reason."""

import inspect

from . import _route
from ._errors import Invalid, Refusal
from ._request import Request, read_json

EMPTY = inspect.Parameter.empty


class Argument:
    """One argument of an endpoint. `source` is where it comes from: `path`, `query`, `header`, `body` (as JSON), `text`
    or `bytes` (the body as it is), `request` or `receipt`."""

    def __init__(self, name: str, source: str, node, default, header: str = ""):
        self.name, self.source, self.node, self.default, self.header = name, source, node, default, header

    @property
    def is_required(self) -> bool:
        return self.default is EMPTY and not getattr(self.node, "is_optional", False)

    def absent(self):
        """The value of an argument that the request does not have."""
        return None if self.default is EMPTY else self.default

    def read(self, request: Request, query: dict[str, list[str]]):
        if self.source == "path":
            return _text_value(self.node, request.params[self.name], "path", self.name)
        if self.source == "query":
            return self._read_query(query.get(self.name))
        if self.source == "header":
            return self._read_header(request)
        return self._read_body(request)

    def _read_query(self, values):
        if values is None:
            if self.is_required:
                raise _refusal("query", Invalid(f"is missing: add ?{self.name}=..", self.name, rule="required"))
            return self.absent()
        if any(isinstance(value, _route.NotEncoded) for value in values):
            reason = "is not percent-encoded UTF-8: write %25 for a percent sign"
            raise _refusal("query", Invalid(reason, self.name, rule="encoding"))
        if self.node.is_many:
            return self._read_many(values)
        if len(values) > 1:
            raise _refusal("query", Invalid(f"occurs {len(values)} times: write it once", self.name))
        return _text_value(self.node, values[0], "query", self.name)

    def _read_many(self, values):
        try:
            return self.node.read(self.node.texts(values))
        except Invalid as problem:
            problem.path.append(self.name)
            raise _refusal("query", problem) from None

    def _read_header(self, request: Request):
        value = request.headers.get(self.header)
        if value is not None:
            return _text_value(self.node, value, "header", self.header)
        if self.is_required:
            raise _refusal("header", Invalid("is missing: send this header field", self.header, rule="required"))
        return self.absent()

    def _read_body(self, request: Request):
        body = request.body
        if not body and self.default is not EMPTY:
            return self.default
        if self.source == "bytes":
            return body
        try:
            if self.source == "text":
                value = request.text()
            else:
                value = self.node.form(request.form()) if request.is_form else read_json(body)
            return self.node.read(value)
        except Invalid as problem:
            raise _refusal("body", problem) from None
        except RecursionError:
            raise Refusal(400, "invalid_body", "the body is nested too deeply", pointer="/body", rule="json") from None


def read_all(arguments: list[Argument], request: Request, receipt) -> dict:
    """The arguments of a call; `receipt` is a function that finds the payment. Raises Refusal."""
    out, query = {}, None
    for argument in arguments:
        if argument.source == "query" and query is None:
            query = _route.parse_query(request.query)
        if argument.source == "request":
            out[argument.name] = request
        elif argument.source == "receipt":
            out[argument.name] = receipt()
        else:
            out[argument.name] = argument.read(request, query)
    return out


def _refusal(where: str, problem: Invalid) -> Refusal:
    pointer = problem.pointer(where)
    return Refusal(400, f"invalid_{where}", f"{pointer} {problem.reason}", pointer=pointer, rule=problem.rule)


def _text_value(node, text: str, where: str, name: str):
    try:
        return node.read(node.text(text))
    except Invalid as problem:
        problem.path.append(name)
        raise _refusal(where, problem) from None
