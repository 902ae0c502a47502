"""Registers functions as endpoints, and compiles their hints.

A mistake raises DefinitionError. The options of the decorator are checked at once; the hints are compiled by `complete`,
when the module has defined all its types.
"""

import collections.abc
import inspect
import typing

from . import _answer, _host, _route, _schemas
from ._arguments import EMPTY, Argument
from ._compile import UNIONS, Compiler
from ._constraints import Body, Header
from ._declaration import Declaration
from ._errors import DefinitionError, Invalid
from ._nodes import Unsupported
from ._request import Request

_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.Iterable,
    collections.abc.AsyncIterable,
)

endpoints: list["Endpoint"] = []


class Endpoint(Declaration):
    """A function, its route and its price."""

    def __init__(self, method: str, path: str, function, options: dict):
        super().__init__(method, path, function, options, endpoints)
        self.is_completed = False

    def complete(self, compiler: Compiler) -> None:
        """Compiles the hints. Raises DefinitionError."""
        if self.is_completed:
            return
        function = inspect.unwrap(self.function)
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            self.fail(f"its hints name a type that its module does not have: {error}")
        except TypeError as error:
            self.fail(f"its hints are not types: {error}")
        self.returns_hint = hints.pop("return", EMPTY)
        self._arguments(inspect.signature(function).parameters, hints, compiler)
        self._answer_type(compiler)
        self._check_callee_arguments()
        try:
            self.input_schema = _schemas.input_schema(self.arguments, self.option("examples"))
            is_json = self.returns is not None and self.mime_type.partition(";")[0].endswith("json")
            self.output_schema = _schemas.output_schema(self.returns) if is_json else None
        except Unsupported as error:
            self.fail(str(error))
        self._check_examples()
        self.is_completed = True

    def _arguments(self, parameters, hints: dict, compiler: Compiler) -> None:
        self.arguments: list[Argument] = []
        in_path = _route.parameters(self.path)
        for name in in_path:
            if name not in parameters:
                self.fail(
                    f"the path has {{{name}}}, and the function takes no `{name}`: write "
                    f"`def {self.name}({name}: str, ..)`"
                )
        for name in parameters:
            if name not in in_path and f":{name}" in self.path.split("/"):
                self.fail(
                    f'the path has :{name}, which is taken letter by letter: a parameter is {{{name}}}, so write '
                    f'"{self.path.replace(f":{name}", f"{{{name}}}")}"'
                )
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                self.fail(f"`{parameter}` is no argument of an endpoint: write each argument with its name and type")
            self.arguments.append(self._argument(name, hints.get(name, EMPTY), parameter.default, in_path, compiler))
        bodies = [argument.name for argument in self.arguments if argument.source in ("body", "bytes", "text")]
        if len(bodies) > 1:
            self.fail(f"one argument can be the body, not {' and '.join(bodies)}: put them into one dataclass")
        if bodies and self.method == "GET":
            self.fail(
                f"`{bodies[0]}` would be the body, and a GET has none: write @post, or take text, numbers and lists "
                "of them from the query"
            )
        if len(self.quote_headers) > 15:
            self.fail("a quote sees at most 15 header fields")

    def _argument(self, name, hint, default, in_path, compiler) -> Argument:
        if name in in_path:
            return self._path_argument(name, hint, default, compiler)
        if hint is Request:
            return Argument(name, "request", None, default)
        if _without_none(hint) is _host.Receipt:
            return Argument(name, "receipt", None, default)
        notes = getattr(hint, "__metadata__", ())
        bare = typing.get_args(hint)[0] if notes else hint
        node = self._compile(name, str if hint is EMPTY else hint, compiler)
        for note in notes:
            if note is Header or isinstance(note, Header):
                header = (note.name if isinstance(note, Header) else None) or name.replace("_", "-")
                self.quote_headers = list(dict.fromkeys([*self.quote_headers, header.lower()]))
                if not node.is_text or node.is_many:
                    self.fail(f"`{name}` is a header field, which is text: it cannot be {hint!r}")
                return Argument(name, "header", node, default, header.lower())
        if _without_none(bare) is bytes:
            return Argument(name, "bytes", None, default)
        if any(note is Body or isinstance(note, Body) for note in notes):
            return Argument(name, "text" if bare is str else "body", node, default)
        return Argument(name, "body" if node.is_structured else "query", node, default)

    def _path_argument(self, name, hint, default, compiler) -> Argument:
        node = self._compile(name, str if hint is EMPTY else hint, compiler)
        if not node.is_text or node.is_many:
            self.fail(f"`{name}` is a part of the path, which is text: it cannot be {hint!r}")
        return Argument(name, "path", node, EMPTY)

    def _compile(self, name: str, hint, compiler: Compiler):
        try:
            return compiler.compile(hint)
        except Unsupported as error:
            self.fail(f"the type of `{name}`: {error}")
        except RecursionError:
            self.fail(f"the type of `{name}` contains itself without a dataclass or TypedDict between")

    def _answer_type(self, compiler: Compiler) -> None:
        function, hint = inspect.unwrap(self.function), self.returns_hint
        self.is_stream = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if not self.is_stream and typing.get_origin(hint) in _STREAMS:
            self.is_stream = True
        self.may_be_absent = typing.get_origin(hint) in UNIONS and type(None) in typing.get_args(hint)
        bare, self.returns = _without_none(hint), None
        while typing.get_origin(bare) is typing.Annotated:
            bare = typing.get_args(bare)[0]
        is_class = inspect.isclass(bare)
        special = (
            bare in (EMPTY, None, type(None), bytes, typing.Any)
            or is_class
            and issubclass(bare, (_answer.Response, _answer.Html))
        )
        if not self.is_stream and not special:
            self.returns = self._compile("return", _without_none(hint), compiler)
        self.mime_type = self.option("mime_type") or self._usual_media_type(bare)

    def _usual_media_type(self, bare) -> str:
        if self.is_stream:
            return _answer.EVENTS
        if inspect.isclass(bare) and issubclass(bare, _answer.Html):
            return _answer.HTML
        if inspect.isclass(bare) and issubclass(bare, str):
            return _answer.TEXT
        is_binary = bare in (bytes, None, type(None)) or inspect.isclass(bare) and issubclass(bare, _answer.Response)
        return _answer.BINARY if is_binary else _answer.JSON

    def _check_callee_arguments(self) -> None:
        self.callees = {}
        known = {argument.name: argument for argument in self.arguments}
        for option in ("quote", "check"):
            function = self.option(option)
            if function is None:
                continue
            taken = []
            for name, parameter in inspect.signature(function).parameters.items():
                if name not in known:
                    if parameter.default is not EMPTY or parameter.kind is parameter.VAR_KEYWORD:
                        continue
                    self.fail(
                        f"{option}={function.__name__} takes `{name}`, which {self.name} does not: it takes "
                        f"arguments of the endpoint by name ({', '.join(known) or 'there are none'})"
                    )
                if known[name].source == "receipt":
                    self.fail(f"{option}={function.__name__} runs before the payment: it cannot take the receipt")
                if known[name].source == "request" and "headers" not in self.options:
                    self.fail(
                        f"{option}={function.__name__} takes the request, of whose header fields it sees those "
                        'that the endpoint names: write headers=["x-tier"], or headers=[] if it reads none'
                    )
                taken.append(name)
            self.callees[option] = taken

    def _check_examples(self) -> None:
        for example in self.option("examples") or ():
            if not isinstance(example, dict) or not example.keys() <= {"path", "query", "body"}:
                self.fail(f'an example is a dict of "path", "query" and "body", not {example!r}')
            for argument in self.arguments:
                if argument.source in ("body", "text") and "body" in example:
                    values = {argument.name: example["body"]}
                elif argument.source in ("path", "query"):
                    values = example.get(argument.source, {})
                else:
                    continue
                if argument.name in values:
                    try:
                        argument.node.read(values[argument.name])
                    except Invalid as problem:
                        self.fail(
                            f"the example {example!r} does not fit: {problem.pointer(argument.name)} {problem.reason}"
                        )


def _without_none(hint):
    """The hint without None, if it is a union with None."""
    if typing.get_origin(hint) not in UNIONS:
        return hint
    others = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    if len(others) == len(typing.get_args(hint)):
        return hint
    return others[0] if len(others) == 1 else typing.Union[tuple(others)]


def complete() -> list[Endpoint]:
    """Compiles the hints of all endpoints, and returns the endpoints."""
    compiler = Compiler()
    for endpoint in endpoints:
        endpoint.complete(compiler)
    return endpoints


def decorator(method: str):
    def make(path=None, **options):
        if path is None or callable(path):
            raise DefinitionError(f'write the path and the price: @{method.lower()}("/path", price="0.01")')

        def register(function):
            endpoints.append(Endpoint(method, path, function, options))
            return function

        return register

    make.__name__ = make.__qualname__ = method.lower()
    make.__doc__ = f'Serves {method} requests: `@{method.lower()}("/path", price="0.01")`.'
    return make


get, post, put, patch, delete = map(decorator, ("GET", "POST", "PUT", "PATCH", "DELETE"))
