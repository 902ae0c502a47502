"""Makes responses of what endpoints return and yield."""

import re

from ._errors import Refusal
from ._json import dump_json
from ._text import utf8

JSON, EVENTS, TEXT, HTML, BINARY = (
    "application/json",
    "text/event-stream",
    "text/plain; charset=utf-8",
    "text/html; charset=utf-8",
    "application/octet-stream",
)


class Html(str):
    """Text that is an HTML page."""


class Response:
    """A whole answer, for an endpoint that needs more than a value.

    `body` is bytes, text, a generator of pieces, or a value that becomes JSON.
    """

    def __init__(self, body=b"", status: int = 200, headers=None, mime_type: str | None = None):
        if not isinstance(status, int) or not 200 <= status <= 599 or status == 402:
            raise ValueError(f"{status!r} is not the status of an answer: write 200 to 599, and not 402")
        pairs = headers.items() if hasattr(headers, "items") else headers or ()
        self.body, self.status, self.headers = body, status, [(str(n).lower(), str(v)) for n, v in pairs]
        self.mime_type = mime_type


class Redirect(Response):
    """Sends the client to another URL. A status below 400 is a success, and is paid."""

    def __init__(self, url: str, status: int = 303):
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"{status!r} is not the status of a redirect: write 301, 302, 303, 307 or 308")
        super().__init__(b"", status, {"location": url})


class Event:
    """A server-sent event, for an endpoint that yields: `yield Event({"i": 1}, event="tick")`."""

    def __init__(self, data, event: str | None = None, id: str | None = None, retry: int | None = None):
        self.data, self.event, self.id, self.retry = data, event, id, retry


_EVENT_KEYS = {"data", "event", "id", "retry"}


def event_bytes(value) -> bytes:
    """One server-sent event. Bytes are written as they are."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, dict) and "data" in value and value.keys() <= _EVENT_KEYS:
        value = Event(**value)
    if not isinstance(value, Event):
        value = Event(value)
    lines = [
        f"{name}: {_one_line(field)}"
        for name, field in (("event", value.event), ("id", value.id), ("retry", value.retry))
        if field is not None
    ]
    data = value.data if isinstance(value.data, str) else dump_json(value.data).decode()
    lines += [f"data: {line}" for line in re.split(r"\r\n|\r|\n", data)]
    return utf8("\n".join(lines) + "\n\n")


def _one_line(field) -> str:
    text = str(field)
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"{text!r} cannot be a field of an event: it has more than one line")
    return text


def piece_bytes(value, mime_type: str) -> bytes:
    """One piece of a streamed answer that is not of events."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return utf8(value)
    if "json" in mime_type:
        return dump_json(value) + b"\n"
    raise TypeError(f"a stream of {mime_type} is made of bytes and text, not of a {type(value).__name__}")


class Answer:
    """What is sent: status, header fields, and the body, whole or in pieces."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body=b"", pieces=None):
        self.status, self.headers, self.body, self.pieces = status, headers, body, pieces


def refusal(error: Refusal) -> Answer:
    return Answer(error.status, [("content-type", JSON)], dump_json(error.document()))


def unsendable() -> Answer:
    """The answer in place of one with a header field that HTTP does not allow. It does not count as a failure of the
    plugin: the text is most often a client's, who could take the plugin off sale by it."""
    answer = failure()
    return Answer(answer.status, answer.headers[:1], answer.body)


def failure() -> Answer:
    """The answer after an exception that the endpoint did not catch."""
    body = b'{"error":"plugin_failed","message":"the plugin failed; its operator can read the reason in the log"}'
    # The second field has the host count the answer as a failure of the plugin.
    return Answer(500, [("content-type", JSON), ("x-coinslot-failed", "1")], body)


def is_generator(value) -> bool:
    return hasattr(value, "__next__") or hasattr(value, "__anext__")


def media_type_of(value) -> str:
    if isinstance(value, Html):
        return HTML
    if isinstance(value, str):
        return TEXT
    return BINARY if isinstance(value, (bytes, bytearray, memoryview)) else JSON


def whole(value) -> bytes:
    """The bytes of a body that is not streamed."""
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return dump_json(value)
