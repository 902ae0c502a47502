"""Simulates the host in tests: payment, configuration, key-value store and other servers, in memory."""

import asyncio
from decimal import Decimal

from . import _loop
from ._errors import ChargeError, FetchError
from ._fetch import Reply
from ._request import Headers


class Bucket:
    """An opened bucket, in memory."""

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


class SimulatedHost:
    """The backend of `_host` in a test."""

    def __init__(self):
        self.configuration: dict[str, str] = {}
        self.buckets: dict[str, dict] = {}
        self.stubs: list[Stub] = []
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
        return Bucket(self.buckets.setdefault(name, {}))

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


class Stub:
    """An answer to `fetch`. `requests` has what was sent."""

    def __init__(self, url, method, status, headers, body, error):
        self.url, self.method, self.error = url, method, error
        self.status, self.headers, self.body = status, headers, body
        self.requests: list = []

    def matches(self, url: str) -> bool:
        return url == self.url or self.url.endswith("*") and url.startswith(self.url[:-1])

    def reply(self, outgoing):
        self.requests.append(outgoing)
        if self.error:
            raise FetchError(self.error, f"{outgoing.url} got no answer: {self.error}")
        return Reply(outgoing.url, self.status, Headers(self.headers or ()), [self.body])


class NoHost:
    """The backend of a quote, which has no payment, network, configuration or store."""

    def __getattr__(self, name):
        raise RuntimeError(f"a quote and a check have no {name}: they depend on nothing but the request")
