"""Runs endpoints in a test, without a host: `call("POST", "/shout", json={"text": "hey"})`.

Import the plugin's module first. Everything that the host gives is in memory here: `configure` sets what `config`
reads, `store` keeps its keys until `reset`, and `stub_fetch` answers what `fetch` sends.
"""

import asyncio
import json as json_module
import re
from decimal import Decimal

from . import _endpoint, _host, _loop, _serve
from ._errors import ChargeError, FetchError, Invalid, Refusal
from ._fetch import Reply
from ._host import Receipt
from ._json import dump_json
from ._request import Headers, Request

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


class _Bucket:
    def __init__(self, values: dict):
        self.values = values

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value):
        self.values[key] = value

    def delete(self, key):
        self.values.pop(key, None)

    def exists(self, key):
        return key in self.values

    def increment(self, key, by):
        total = int(self.values.get(key, b"0")) + by
        self.values[key] = str(total).encode()
        return total

    def compare_and_swap(self, key, expected, value):
        if self.values.get(key) != expected:
            return False
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        return True

    def keys(self, cursor):
        return list(self.values), None

    def get_many(self, keys):
        return {key: self.values[key] for key in keys if key in self.values}

    def set_many(self, pairs):
        self.values.update(pairs)

    def delete_many(self, keys):
        for key in keys:
            self.values.pop(key, None)


class _Memory:
    """The host's part, in memory."""

    def __init__(self):
        self.configuration: dict[str, str] = {}
        self.buckets: dict[str, dict] = {}
        self.stubs: list[_Stub] = []
        self.payment, self.charged, self.most = None, None, None

    def receipt(self):
        return self.payment

    def charge(self, amount):
        untaken = "the charge was not taken"
        if self.most is None:
            raise ChargeError(f"{untaken}: the request is not metered: declare its price with `up_to`")
        (number, *unit), (most, *other_unit) = amount.split(), self.most.split()
        # Amounts of two units cannot be compared.
        if unit == other_unit and Decimal(number) > Decimal(most):
            raise ChargeError(f"{untaken}: {amount} is more than the {self.most} that the caller has authorised")
        self.charged = amount

    def config(self, key):
        return self.configuration.get(key)

    def config_all(self):
        return dict(self.configuration)

    def open(self, name):
        return _Bucket(self.buckets.setdefault(name, {}))

    def fetch(self, outgoing):
        for stub in reversed(self.stubs):
            if stub.method in (None, outgoing.method) and stub.matches(outgoing.url):
                return stub.reply(outgoing)
        raise FetchError(
            "http_request_denied",
            f"nothing answers {outgoing.method} {outgoing.url} in this test: write "
            f'stub_fetch("{outgoing.url}", json=..)',
        )

    async def fetch_async(self, outgoing):
        return self.fetch(outgoing)

    def run(self, coroutine):
        with self.runner() as run:
            return run(coroutine)

    def runner(self):
        return _loop.running(asyncio.new_event_loop())


class _Stub:
    """An answer to `fetch`. `requests` has what was sent."""

    def __init__(self, url, method, status, headers, body, error):
        self.url, self.method, self.status, self.headers, self.body, self.error = (
            url,
            method,
            status,
            headers,
            body,
            error,
        )
        self.requests: list = []

    def matches(self, url: str) -> bool:
        return url == self.url or self.url.endswith("*") and url.startswith(self.url[:-1])

    def reply(self, outgoing):
        self.requests.append(outgoing)
        if self.error:
            raise FetchError(self.error, f"{outgoing.url} got no answer: {self.error}")
        return Reply(outgoing.url, self.status, Headers(self.headers or ()), [self.body])


_memory = _Memory()


def reset() -> None:
    """Forgets configuration, keys and stubs."""
    global _memory
    _memory = _Memory()


def configure(**values: str) -> None:
    """Sets what `config` reads: `configure(currency="EUR")`."""
    _memory.configuration.update({key: str(value) for key, value in values.items()})


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
    stub = _Stub(url, method, status, headers, body.encode() if isinstance(body, str) else body, error)
    _memory.stubs.append(stub)
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
    _host.set_backend(_NoHost())
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
        _host.set_backend(_NoHost())
        price = None if endpoint.price_kind == "free" else _serve.price(endpoint, seen)
    except Refusal as refusal:
        answer = _serve._refused(refusal)
        return Answer(answer.status, answer.headers, [answer.body])
    _memory.payment = receipt or (_receipt(price) if price is not None else None)
    _memory.charged, _memory.most = None, endpoint.price if endpoint.price_kind == "up_to" else None
    _host.set_backend(_memory)
    answer = _serve.respond(_request(method, url, **request), raise_errors=not catch)
    pieces = [answer.body] if answer.pieces is None else list(answer.pieces)
    out = Answer(answer.status, answer.headers, pieces, price, _memory.charged)
    _check_type(endpoint, out)
    return out


class _NoHost:
    """The backend of a quote, which has no payment, network, configuration or store."""

    def __getattr__(self, name):
        raise RuntimeError(f"a quote and a check have no {name}: they depend on nothing but the request")


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
