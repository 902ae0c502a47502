"""Runs endpoints in a test, without a host: `call("POST", "/shout", json={"text": "hey"})`.

Import the plugin's module first. Everything that the host gives is in memory here: `configure` sets what `config`
reads, `store` keeps its keys until `reset`, and `stub_fetch` answers what `fetch` sends.
"""

import json as json_module
import re

from . import _endpoint, _host, _serve
from ._errors import Invalid, Refusal
from ._host import Receipt
from ._json import dump_json
from ._request import Headers, Request
from ._simulated_host import NoHost, SimulatedHost, Stub

__all__ = ["Answer", "call", "configure", "manifest", "quote", "reset", "stub_fetch"]


class Answer:
    """The answer of a call. `price` is what the request costs (None if it is free), `charged` what `charge` set."""

    def __init__(self, status: int, headers, pieces, price=None, charged=None):
        self.status, self.headers, self.pieces = status, Headers(headers), pieces
        self.body = b"".join(pieces)
        self.price, self.charged = price, charged

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self):
        return json_module.loads(self.body)

    def events(self) -> list[dict]:
        """The server-sent events, each as a dict of its fields."""
        out = []
        for block in self.text.split("\n\n"):
            fields: dict = {}
            for line in block.splitlines():
                name, _, value = line.partition(": ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            if fields:
                out.append(fields)
        return out

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:200]!r}>"


_simulated = SimulatedHost()


def reset() -> None:
    """Forgets configuration, keys and stubs."""
    global _simulated
    _simulated = SimulatedHost()


def configure(**values: str) -> None:
    """Sets what `config` reads: `configure(currency="EUR")`."""
    _simulated.configuration.update({key: str(value) for key, value in values.items()})


def stub_fetch(
    url: str,
    *,
    status: int = 200,
    json=None,
    body: bytes | str = b"",
    headers=None,
    method=None,
    error: str | None = None,
):
    """Answers `fetch(url)`; a `*` at the end stands for anything. `error` raises FetchError with that code. Returns an
    object whose `requests` has what was sent."""
    if json is not None:
        body, headers = dump_json(json), {"content-type": "application/json", **(headers or {})}
    stub = Stub(url, method, status, headers, body.encode() if isinstance(body, str) else body, error)
    _simulated.stubs.append(stub)
    return stub


def manifest() -> list[dict]:
    """What the plugin declares, endpoint by endpoint."""
    return [
        {
            "method": e.method,
            "path": e.path,
            "price": "free" if e.price_kind == "free" else e.price,
            "summary": e.summary,
            "description": e.description,
            "mime_type": e.mime_type,
            "input_schema": json_module.loads(e.input_schema or "null"),
            "output_schema": json_module.loads(e.output_schema or "null"),
        }
        for e in _endpoints()
    ]


def quote(method: str, url: str, **request) -> str | None:
    """What the request costs; None if it is free. Raises Refusal."""
    _host.set_backend(NoHost())
    endpoint, seen = _quoted_request(_request(method, url, **request))
    return _serve.price(endpoint, seen)


def call(
    method: str,
    url: str,
    *,
    json=None,
    form=None,
    body: bytes | str = b"",
    headers=None,
    receipt: Receipt | None = None,
    catch: bool = False,
) -> Answer:
    """Quotes a request and runs it, as the host would for a caller who pays.

    A refusal is an answer. An exception of the endpoint is raised, or with `catch=True` logged and answered with 500.
    A JSON answer that does not fit the function's return type is an AssertionError.
    """
    request = {"json": json, "form": form, "body": body, "headers": headers}
    try:
        endpoint, seen = _quoted_request(_request(method, url, **request))
        _host.set_backend(NoHost())
        price = None if endpoint.price_kind == "free" else _serve.price(endpoint, seen)
    except Refusal as refusal:
        answer = _serve._refused(refusal)
        return Answer(answer.status, answer.headers, [answer.body])
    _simulated.payment = receipt or (_receipt(price) if price is not None else None)
    _simulated.charged, _simulated.most = None, endpoint.price if endpoint.price_kind == "up_to" else None
    _host.set_backend(_simulated)
    answer = _serve.respond(_request(method, url, **request), raise_errors=not catch)
    pieces = [answer.body] if answer.pieces is None else list(answer.pieces)
    out = Answer(answer.status, answer.headers, pieces, price, _simulated.charged)
    _check_type(endpoint, out)
    return out


def _endpoints():
    found = _endpoint.complete()
    if not found:
        raise AssertionError("there are no endpoints: import the plugin's module in the test, as in `import app`")
    return found


def _request(method: str, url: str, json=None, form=None, body=b"", headers=None) -> Request:
    _endpoints()
    path, question, query = url.partition("?")
    fields = Headers(headers or ()).items()
    media = None
    if json is not None:
        body, media = dump_json(json), "application/json"
    elif form is not None:
        from urllib.parse import urlencode

        body, media = urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    if media and not any(name == "content-type" for name, _ in fields):
        fields.append(("content-type", media))
    body = body.encode() if isinstance(body, str) else bytes(body)
    path = re.sub(r"[^\x21-\x7e]", lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), path)
    return Request(method, path, query if question else None, Headers(fields), [body])


def _quoted_request(request: Request):
    """The endpoint, and the request as its quote sees it."""
    endpoint = _serve.route(request)
    seen = {"content-type", *endpoint.quote_headers}
    request.headers = Headers([pair for pair in request.headers.items() if pair[0] in seen])
    return endpoint, request


def _receipt(price: str) -> Receipt:
    return Receipt(
        "0x00000000000000000000000000000000000a11ce",
        price.split()[0],
        "0x0000000000000000000000000000000000000a55",
        "eip155:84532",
        "test",
    )


def _check_type(endpoint, answer: Answer) -> None:
    is_json = answer.headers.get("content-type", "").partition(";")[0].endswith("json")
    if endpoint.returns is None or not 200 <= answer.status < 300 or not is_json:
        return
    try:
        endpoint.returns.read(answer.json())
    except Invalid as problem:
        raise AssertionError(
            f"{endpoint.method} {endpoint.path} answered what is not a {endpoint.returns_hint!r}: "
            f"{problem.pointer() or '/'} {problem.reason}"
        ) from None
