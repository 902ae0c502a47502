"""Sends requests to other servers and moves bodies, over `wasi:http` 0.2."""

import contextlib

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, types
from wit_world.imports.streams import StreamError_Closed

from ._errors import FetchError
from ._fetch import Reply
from ._request import Headers

READ = 64 * 1024
WRITE = 4096  # the most that one `blocking-write-and-flush` takes


def fetch(outgoing) -> Reply:
    """Sends a request and waits for the head of the answer. The body is read when it is asked for."""
    with _send(outgoing) as future:
        found = future.get()
        if found is None:
            with future.subscribe() as pollable:
                pollable.block()
            found = future.get()
    response = _response(found, outgoing)
    return Reply(outgoing.url, response.status(), headers(response), _reply_pieces(response, outgoing))


async def fetch_async(outgoing) -> Reply:
    """Sends a request and reads the whole answer, while other tasks run."""
    import asyncio  # not everybody needs it, and it makes a component larger

    loop = asyncio.get_running_loop()
    with _send(outgoing) as future:
        while (found := future.get()) is None:
            await loop.wait(future.subscribe())
    response, pieces = _response(found, outgoing), []
    with response, response.consume() as incoming, incoming.stream() as stream:
        status, fields = response.status(), headers(response)
        while True:
            try:
                piece = stream.read(READ)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return Reply(outgoing.url, status, fields, pieces)
                raise _broken(outgoing) from None
            if piece:
                pieces.append(piece)
            else:
                await loop.wait(stream.subscribe())


def _send(outgoing):
    """Starts a request and writes its body."""
    try:
        request = types.OutgoingRequest(fields(outgoing.headers))
        request.set_method(_method(outgoing.method))
        request.set_scheme(types.Scheme_Https() if outgoing.scheme == "https" else types.Scheme_Http())
        request.set_authority(outgoing.authority)
        request.set_path_with_query(outgoing.path_with_query)
    except Err:
        raise FetchError(
            "invalid_request",
            f"{outgoing.method} {outgoing.url}: the URL or a header field is not one that "
            "HTTP allows, or that a plugin may send",
        ) from None
    body = request.body() if outgoing.body else None
    try:
        future = outgoing_handler.handle(request, _options(outgoing.timeout))
    except Err as error:
        raise _unsent(error.value, outgoing) from None
    if body is not None:
        # The answer tells why a body was not taken.
        with contextlib.suppress(Err):
            with body.write() as stream:
                write(stream, outgoing.body)
            types.OutgoingBody.finish(body, None)
    return future


def _method(name: str):
    known = getattr(types, f"Method_{name.capitalize()}", None)
    return known() if known and name != "OTHER" else types.Method_Other(name)


def _options(timeout):
    if timeout is None:
        return None
    options = types.RequestOptions()
    for limit in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        limit(int(timeout * 1e9))
    return options


def _response(found, outgoing):
    inner = found.value if isinstance(found, Ok) else found
    if isinstance(inner, Ok):
        return inner.value
    raise _unsent(inner.value, outgoing)


def _unsent(code, outgoing) -> FetchError:
    name = type(code).__name__.partition("_")[2]
    word = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_") or "failed"
    detail = getattr(code, "value", None)
    why = word.replace("_", " ") + (f": {detail}" if isinstance(detail, str) and detail else "")
    if word == "http_request_denied":
        why = "the operator has to allow this origin, in `http` of the plugin's table"
    return FetchError(word, f"{outgoing.method} {outgoing.scheme}://{outgoing.authority} got no answer: {why}")


def _broken(outgoing) -> FetchError:
    return FetchError("incomplete", f"the answer of {outgoing.url} broke off")


def headers(message) -> Headers:
    """The header fields of a request or a response."""
    with message.headers() as found:
        return Headers(found.entries())


def fields(pairs):
    """Header fields for a request or a response. Raises Err for what HTTP does not allow."""
    return types.Fields.from_list([(name, value.encode()) for name, value in pairs])


def _reply_pieces(response, outgoing):
    with response, response.consume() as incoming, incoming.stream() as stream:
        try:
            yield from read(stream)
        except Err:
            raise _broken(outgoing) from None


def read(stream):
    """The pieces of a body."""
    while True:
        try:
            piece = stream.blocking_read(READ)
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return
            raise
        if piece:
            yield piece


def write(stream, piece: bytes) -> None:
    """Writes a piece whole, and hands it to the host."""
    if len(piece) <= WRITE:
        if piece:
            stream.blocking_write_and_flush(piece)
        return
    start = 0
    while start < len(piece):
        room = stream.check_write()
        if room == 0:
            with stream.subscribe() as pollable:
                pollable.block()
            continue
        stream.write(piece[start : start + room])
        start += room
    stream.blocking_flush()
