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
from wit_world.imports import monotonic_clock, payment, poll, types, usage

from . import _endpoint, _host, _plugin, _serve, _trace, _wasi_http
from ._answer import failure as _failure
from ._errors import ChargeError, Refusal, StoreError
from ._host import Receipt
from ._request import Headers, Request

try:
    from wit_world.exports import quote as quote_types
except ImportError:
    quote_types = None
try:
    from wit_world.imports import config_store
except ImportError:
    config_store = None
try:
    from wit_world.imports import keyvalue_atomics, keyvalue_batch, keyvalue_store
except ImportError:
    keyvalue_store = None

try:
    from wit_world.imports import keyvalue_swap
except ImportError:
    keyvalue_swap = None

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
    _host.set_backend(_Backend())


# --- what the plugin imports ----------------------------------------------------------------------------------------


class _Backend:
    """The host, through the component's imports."""

    def receipt(self):
        found = payment.current()
        if found is None:
            return None
        return Receipt(found.payer, found.amount, found.asset, found.network, found.payment_id)

    def charge(self, amount: str) -> None:
        try:
            usage.charge(amount)
        except Err as error:
            raise ChargeError(f"the charge was not taken: {error.value}") from None

    def config(self, key: str):
        self._needs(config_store, "config")
        try:
            return config_store.get(key)
        except Err as error:
            raise RuntimeError(f"the configuration cannot be read: {_reason(error)}") from None

    def config_all(self):
        self._needs(config_store, "config")
        try:
            return dict(config_store.get_all())
        except Err as error:
            raise RuntimeError(f"the configuration cannot be read: {_reason(error)}") from None

    def open(self, name: str):
        self._needs(keyvalue_store, "store")
        return _Bucket(_stored(keyvalue_store.open, name))

    @staticmethod
    def _needs(module, name: str) -> None:
        if module is None:
            raise RuntimeError(
                f"the build did not see that this plugin uses `{name}`: write `from coinslot import "
                f"{name.partition('.')[0]}`, and the name of the function as it is"
            )

    fetch = staticmethod(_wasi_http.fetch)

    @staticmethod
    async def fetch_async(outgoing):
        return await _wasi_http.fetch_async(outgoing)

    def run(self, coroutine):
        with self.runner() as run:
            return run(coroutine)

    def runner(self):
        from . import _loop

        return _loop.running(_loop.WasiLoop(poll.poll, monotonic_clock.subscribe_duration))


def _reason(error: Err) -> str:
    value = error.value
    return str(getattr(value, "value", None) or type(value).__name__.partition("_")[2] or value)


def _stored(call, *arguments):
    try:
        return call(*arguments)
    except Err as error:
        name = type(error.value).__name__.partition("_")[2]
        if name == "AccessDenied":
            raise StoreError("the operator has not granted a key-value store to this plugin") from None
        raise StoreError(f"the key-value store: {_reason(error)}") from None


class _Bucket:
    """An opened bucket."""

    def __init__(self, handle):
        self._handle = handle

    def get(self, key):
        return _stored(self._handle.get, key)

    def set(self, key, value):
        _stored(self._handle.set, key, value)

    def delete(self, key):
        _stored(self._handle.delete, key)

    def exists(self, key):
        return _stored(self._handle.exists, key)

    def increment(self, key, by):
        return _stored(keyvalue_atomics.increment, self._handle, key, by)

    def compare_and_swap(self, key, expected, value):
        _Backend._needs(keyvalue_swap, "store.compare_and_swap")
        return _stored(keyvalue_swap.compare_and_swap, self._handle, key, expected, value)

    def keys(self, cursor):
        page = _stored(self._handle.list_keys, cursor)
        return page.keys, page.cursor

    def get_many(self, keys):
        return dict(pair for pair in _stored(keyvalue_batch.get_many, self._handle, keys) if pair is not None)

    def set_many(self, pairs):
        _stored(keyvalue_batch.set_many, self._handle, pairs)

    def delete_many(self, keys):
        _stored(keyvalue_batch.delete_many, self._handle, keys)


# --- what the plugin exports ----------------------------------------------------------------------------------------


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
        extensions=flow + check,
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
        return _answer(response_out, _failure(), title)
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
