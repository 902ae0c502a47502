"""Exports the plugin as a component: `manifest`, `quote` and `wasi:http/incoming-handler` of WASI 0.2.

The entry module that `coinslot_build/component.py` writes calls `load` and exports the three classes. Everything here
is imported while the component is built, and becomes part of its memory.
"""

import contextlib
import importlib
import os
import sys

from componentize_py_types import Err, Ok
from wit_world.exports import manifest as manifest_types
from wit_world.imports import types

from . import _endpoint, _host, _plugin, _serve, _trace, _wasi_http
from ._answer import unsendable as _unsendable
from ._errors import Refusal
from ._imports import ComponentImports
from ._imports import reason as _reason
from ._request import Headers, Request

try:
    from wit_world.exports import quote as quote_types
except ImportError:
    quote_types = None

# What Python itself imports when it is first used, and a component cannot import any more.
_LATE = ("_strptime", "encodings.cp1252", "encodings.iso8859_15", "encodings.utf_8_sig", "encodings.iso8859_1")


class _Info:
    name, version = "plugin", "0.0.0"


def load(module: str, name: str, version: str, preload) -> None:
    """Imports the plugin's module and what it would import late, and checks its endpoints."""
    _Info.name, _Info.version = name, version
    _trace.author_root = next(
        (os.path.abspath(root) for root in sys.path if os.path.exists(os.path.join(root, f"{module}.py"))), None
    )
    importlib.import_module(module)
    for late in (*_LATE, *preload):
        # What is not there now is not there later either; the scan has said so.
        with contextlib.suppress(Exception):
            importlib.import_module(late)
    endpoints = _endpoint.complete()
    if any(endpoint.is_async for endpoint in endpoints) or "asyncio" in sys.modules:
        importlib.import_module("coinslot._loop")
    for loaded in list(sys.modules.values()):
        filename = getattr(loaded, "__file__", None) or ""
        if _trace.is_author(filename):
            _trace.remember(filename)
    _host.set_backend(ComponentImports())


class Manifest:
    """The export `manifest`."""

    def describe(self):
        check = _plugin.Plugin.check_config
        if check is not None:
            try:
                check()
            except (Refusal, ValueError) as error:
                raise Err(getattr(error, "message", None) or str(error)) from None
            except Exception as error:
                _serve.log("the check of the configuration failed", error)
                raise Err(f"the check of the configuration failed: {_trace.headline(error)}") from None
        info = _plugin.Plugin
        return manifest_types.PluginInfo(
            info.name or _Info.name,
            info.version or _Info.version,
            [_declared(endpoint) for endpoint in _endpoint.endpoints],
            [],
        )


def _declared(endpoint):
    prices = {
        "free": lambda _: manifest_types.Price_Free(),
        "price": manifest_types.Price_Exact,
        "up_to": manifest_types.Price_UpTo,
        "quoted": manifest_types.Price_Quoted,
    }
    upfront = endpoint.option("upfront")
    flow = [] if upfront is None else [("payment-flow", "upfront" if upfront else "authorization")]
    terms = [] if endpoint.pass_terms is None else [("pass", endpoint.pass_terms)]
    # `quote` validates by the hints, whose rules JSON Schema may not tell.
    check = [("input-check", "plugin")] if endpoint.input_schema else []
    return manifest_types.Endpoint(
        method=endpoint.method,
        path=endpoint.path,
        price=prices[endpoint.price_kind](endpoint.price),
        summary=endpoint.summary,
        description=endpoint.description,
        mime_type=endpoint.mime_type,
        input_schema=endpoint.input_schema,
        output_schema=endpoint.output_schema,
        quote_headers=endpoint.quote_headers,
        extensions=flow + terms + check,
    )


class Quote:
    """The export `quote`."""

    def quote(self, request):
        endpoint = next(e for e in _endpoint.endpoints if e.method == request.method and e.path == request.route)
        seen = Request(
            request.method,
            request.route,
            request.query,
            Headers(request.headers),
            [request.body],
            request.route,
            dict(request.params),
        )
        title = f"the quote of {request.method} {request.route} failed"
        try:
            price = _serve.price(endpoint, seen)
        except Refusal as refusal:
            if refusal.status >= 500:
                _fail(title, ValueError(f"a quote refuses with 400 to 499, and not with {refusal}"))
            extensions = list(refusal.facts().items())
            raise Err(quote_types.Refusal(refusal.status, refusal.code, refusal.message, extensions)) from None
        except Exception as error:
            _fail(title, error)
        asked = quote_types.QuotedPrice_Free() if price is None else quote_types.QuotedPrice_Amount(price)
        return quote_types.Quotation(asked, [])


def _fail(title: str, error: Exception) -> None:
    """Ends a call that has no answer: the host tells the caller that the plugin failed and nothing was charged."""
    _serve.log(title, error)
    # An exception would be printed once more, with the frames of this SDK and of the runtime.
    os.abort()


class IncomingHandler:
    """The export `wasi:http/incoming-handler`."""

    def handle(self, request, response_out):
        method = request.method()
        name = getattr(method, "value", None) or type(method).__name__.removeprefix("Method_").upper()
        path, question, query = (request.path_with_query() or "/").partition("?")
        seen = Request(name, path, query if question else None, _wasi_http.headers(request), _incoming(request))
        _answer(response_out, _serve.respond(seen), f"{name} {path}")


def _incoming(request):
    with request.consume() as incoming, incoming.stream() as stream:
        try:
            yield from _wasi_http.read(stream)
        except Err:
            raise Refusal(400, "incomplete_body", "the body ended before it was complete; send it again") from None


def _answer(response_out, answer, title: str) -> None:
    headers = answer.headers
    if answer.pieces is None and answer.status != 204:
        headers = [*headers, ("content-length", str(len(answer.body)))]
    try:
        response = types.OutgoingResponse(_wasi_http.fields(headers))
    except (Err, UnicodeEncodeError) as error:
        reason = _reason(error) if isinstance(error, Err) else "it is not UTF-8"
        problem = ValueError(f"a header field of the answer is not one that HTTP allows: {reason}: {headers!r}")
        _serve.log(f"{title} failed", problem)
        return _answer(response_out, _unsendable(), title)
    response.set_status_code(answer.status)
    body = response.body()
    types.ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        if not _write_all(stream, answer, title):
            # Without `finish` the answer is cut off: the host and the client know that it failed.
            return
    types.OutgoingBody.finish(body, None)


def _write_all(stream, answer, title: str) -> bool:
    """Writes the body; False if it ends too early."""
    pieces = iter((answer.body,)) if answer.pieces is None else answer.pieces
    while True:
        try:
            piece = next(pieces)
        except StopIteration:
            return True
        except Exception as error:
            _serve.log(f"{title} failed while it answered", error)
            return False
        try:
            _wasi_http.write(stream, piece)
        except Err:
            # The client has hung up.
            getattr(pieces, "close", lambda: None)()
            return False
