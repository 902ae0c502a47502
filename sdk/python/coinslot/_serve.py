"""Runs a request: routes it, reads its arguments, calls the function, and makes the answer."""

import inspect
import sys

from . import _answer, _declaration, _endpoint, _host, _route, _trace
from ._answer import Answer, Response
from ._arguments import read_all
from ._errors import Refusal
from ._request import Request


def route(request: Request):
    """The endpoint of a request; fills `request.params`. Raises Refusal."""
    endpoint, found = _route.find(_endpoint.endpoints, request.method, request.path)
    if endpoint is None:
        if found:
            raise Refusal(405, "method_not_allowed", f"this path is served with other methods: {', '.join(found)}")
        raise Refusal(404, "not_found", f"this plugin serves no {request.method} {request.path}")
    for name, value in found.items():
        try:
            request.params[name] = _route.decode(value)
        except ValueError as error:
            raise Refusal(400, "invalid_path", f"/path/{name} {error}", pointer=f"/path/{name}", rule="encoding") from None
    request.route = endpoint.path
    return endpoint


def respond(request: Request, raise_errors: bool = False) -> Answer:
    """The answer of a request. An exception of the endpoint is logged and answered with 500, or raised in a test."""
    title = f"{request.method} {request.path}"
    try:
        endpoint = route(request)
        title = f"{endpoint.method} {endpoint.path}"
        arguments = read_all(endpoint.arguments, request, _host.backend.receipt)
        if endpoint.option("check"):
            _call(endpoint, "check", arguments)
        value = endpoint.function(**arguments)
        if inspect.isawaitable(value):
            value = _host.backend.run(value)
        return _answer_of(endpoint, value)
    except Refusal as refusal:
        return _refused(refusal)
    except Exception as error:
        if raise_errors:
            raise
        log(f"{title} failed", error)
        return _answer.failure()


def _refused(refusal: Refusal) -> Answer:
    answer = _answer.refusal(refusal)
    if refusal.code == "method_not_allowed":
        answer.headers.append(("allow", refusal.message.rpartition(": ")[2]))
    return answer


def log(title: str, error: BaseException) -> None:
    sys.stderr.write(_trace.report(title, error))
    sys.stderr.flush()


def _call(endpoint, option: str, arguments: dict):
    names = endpoint.callees[option]
    return endpoint.option(option)(**{name: arguments[name] for name in names})


def _answer_of(endpoint, value) -> Answer:
    if not isinstance(value, Response):
        if value is None:
            return _nothing(endpoint)
        value = Response(value, mime_type=endpoint.option("mime_type"))
    if value.body is None and value.status != 204:
        value.body = b""
    streamed = _answer.is_generator(value.body)
    media = (
        value.mime_type
        or endpoint.option("mime_type")
        or (_answer.EVENTS if streamed else _answer.media_type_of(value.body))
    )
    headers = list(value.headers)
    body = b"" if streamed else _answer.whole(value.body) if value.status != 204 else b""
    if (body or streamed) and not any(name == "content-type" for name, _ in headers):
        headers.insert(0, ("content-type", media))
    if not streamed:
        return Answer(value.status, headers, body)
    return Answer(value.status, headers, pieces=_first(_pieces(value.body, _media(headers))))


def _media(headers) -> str:
    return next((value for name, value in headers if name == "content-type"), "").partition(";")[0].strip().lower()


def _nothing(endpoint) -> Answer:
    if endpoint.may_be_absent:
        return _answer.refusal(Refusal(404, "not_found", "there is no such thing"))
    if endpoint.returns_hint in (None, type(None)):
        return Answer(204, [])
    raise TypeError(
        f"{endpoint.name} returned None: return an answer; or write `-> None` for an answer without a body (204), "
        "`-> .. | None` for 404"
    )


def _pieces(body, media: str):
    """The bytes of each piece."""
    encode = _answer.event_bytes if media == _answer.EVENTS else lambda piece: _answer.piece_bytes(piece, media)
    if hasattr(body, "__next__"):
        yield from map(encode, body)
        return
    with _host.backend.runner() as run:
        while True:
            piece = run(_next(body))
            if piece is _END:
                return
            yield encode(piece)


_END = object()


async def _next(body):
    try:
        return await body.__anext__()
    except StopAsyncIteration:
        return _END


def _first(pieces):
    """Runs a stream up to its first piece, so that a refusal or an exception before it is still an answer."""
    try:
        first = next(pieces)
    except StopIteration:
        return iter(())

    def all_pieces():
        yield first
        yield from pieces

    return all_pieces()


def price(endpoint, request: Request):
    """The price of a request as an amount, or None if it is free. Raises Refusal."""
    arguments = read_all(endpoint.arguments, request, lambda: None)
    if endpoint.option("check"):
        _call(endpoint, "check", arguments)
    if endpoint.price_kind == "free":
        return None
    if endpoint.price_kind != "quoted":
        return endpoint.price
    quoted = _call(endpoint, "quote", arguments)
    asked = _host.amount(quoted, f"the quote of {endpoint.name}")
    return None if _declaration.is_zero(asked) else asked


def needs_quote(endpoint) -> bool:
    """True if the price or a refusal depends on the request."""
    return endpoint.price_kind != "free" and bool(
        endpoint.option("check")
        or endpoint.option("quote")
        or any(argument.source not in ("request", "receipt", "bytes") for argument in endpoint.arguments)
    )
