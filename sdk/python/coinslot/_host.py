"""Calls the host: payment, charge, configuration, key-value and outgoing HTTP.

The functions here are what authors import. What they call is `backend`: the component's imports (`_imports`), a
stand-in in memory (`testing`), or nothing while the plugin is built.
"""

import dataclasses
import decimal
import json as json_module
import re

from ._errors import FetchError, StoreError
from ._fetch import Outgoing, Reply, outgoing
from ._json import dump_json

_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?( [!-~]+)?")
_AMOUNT_BYTES = 80


@dataclasses.dataclass(frozen=True)
class Receipt:
    """The payment of this request: `receipt: Receipt | None`. Only the host sets it."""

    payer: str
    amount: str
    asset: str
    network: str
    payment_id: str


class _Building:
    """The backend while the plugin is built, and where nothing else is set."""

    def __getattr__(self, name):
        words = {
            "receipt": "the payment",
            "charge": "charge",
            "fetch": "fetch",
            "fetch_async": "fetch",
            "config": "config",
            "config_all": "config",
        }
        raise RuntimeError(
            f"{words.get(name, 'the store')} does not exist while the plugin is built: this module runs "
            "once, then. Move the call into an endpoint"
        )


backend = _Building()


def set_backend(new) -> None:
    global backend
    backend = new


def is_amount(text: str) -> bool:
    """True for an amount as the contract writes it: digits, a dot and more digits, a space and an asset's symbol."""
    return len(text) <= _AMOUNT_BYTES and _AMOUNT.fullmatch(text) is not None


def amount(value, what: str) -> str:
    """An amount as the contract writes it."""
    if isinstance(value, decimal.Decimal):
        value = format(value, "f")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"{what} is {value!r}, a {kind}: write text or a Decimal, so that nothing is lost to rounding")
    if not is_amount(value):
        raise ValueError(f'{what} is {value!r}: write digits, and a dot and more digits if you need them, as in "0.01"')
    return value


def charge(value) -> None:
    """Sets what the caller pays for this request, for an endpoint with `up_to=`. The last call counts; without a call
    the request is free. Raises ChargeError."""
    backend.charge(amount(value, "the charge"))


def config(key: str, default: str | None = None) -> str | None:
    """A value of the operator's `[plugin.NAME.config]`, as text."""
    value = backend.config(key)
    return default if value is None else value


def config_all() -> dict[str, str]:
    """All values of the operator's `[plugin.NAME.config]`."""
    return backend.config_all()


# Attempts of one update. Of those that attempt it at once one always succeeds, so more than a few are rare.
_MAX_UPDATES = 100


class Bucket:
    """Keys and values that outlive requests and reloads. Only this plugin sees them; the operator grants a quota.

    `increment`, `compare_and_swap`, `update_json` and `set_many` are atomic. Other operations do not lock: of two
    requests that each `get` a value and `set` it, one may overwrite the other's write. Raises StoreError.
    """

    def __init__(self, name: str = ""):
        self._name, self._opened = name, None

    def bucket(self, name: str) -> "Bucket":
        """Another bucket, by its name."""
        return Bucket(name)

    def _bucket(self):
        # An opened bucket belongs to one instance of the plugin, and a test may change the backend.
        if self._opened is None or self._opened[0] is not backend:
            self._opened = backend, backend.open(self._name)
        return self._opened[1]

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        value = self._bucket().get(key)
        return default if value is None else value

    def set(self, key: str, value: bytes | str) -> None:
        self._bucket().set(key, _bytes(value))

    def delete(self, key: str) -> None:
        """Removes a key. An absent key is no error."""
        self._bucket().delete(key)

    def __contains__(self, key: str) -> bool:
        return self._bucket().exists(key)

    def text(self, key: str, default: str | None = None) -> str | None:
        value = self.get(key)
        return default if value is None else value.decode()

    def json(self, key: str, default=None):
        value = self.get(key)
        return default if value is None else json_module.loads(value)

    def set_json(self, key: str, value) -> None:
        self.set(key, dump_json(value))

    def increment(self, key: str, by: int = 1) -> int:
        """Adds to a number in one atomic step, and returns the sum. An absent key counts as zero."""
        if by < 0:
            raise ValueError("`by` is not negative: the host only adds")
        return self._bucket().increment(key, by)

    def compare_and_swap(self, key: str, expected: bytes | str | None, value: bytes | str | None) -> bool:
        """Replaces the value of a key if it is the expected one, in one atomic step, and returns whether it was.
        `expected` is None for a key that must be absent; `value` is None to remove the key."""
        before, after = (None if part is None else _bytes(part) for part in (expected, value))
        return self._bucket().compare_and_swap(key, before, after)

    def update_json(self, key: str, change):
        """Replaces the JSON of a key by what `change` makes of it, and returns that. `change` gets None for an absent
        key, and runs again if another request has written in between."""
        for _ in range(_MAX_UPDATES):
            before = self.get(key)
            after = change(None if before is None else json_module.loads(before))
            if self.compare_and_swap(key, before, dump_json(after)):
                return after
        raise StoreError(f"others have changed {key!r} {_MAX_UPDATES} times in between")

    def list(self, prefix: str = ""):
        """The keys, page by page, in no order."""
        cursor = None
        while True:
            keys, cursor = self._bucket().keys(cursor)
            yield from (key for key in keys if key.startswith(prefix))
            if cursor is None:
                return

    def get_many(self, keys) -> dict[str, bytes]:
        """The values of the keys that exist. At most 1,000 keys in one call."""
        return self._bucket().get_many(list(keys))

    def set_many(self, values: dict[str, bytes | str]) -> None:
        """Writes several keys: all or none."""
        self._bucket().set_many([(key, _bytes(value)) for key, value in values.items()])

    def delete_many(self, keys) -> None:
        self._bucket().delete_many(list(keys))


store = Bucket()


def _bytes(value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"the store keeps bytes and text, not a {type(value).__name__}: write store.set_json(key, value)")


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers=None,
    query=None,
    body: bytes | str | None = None,
    json=None,
    form=None,
    timeout: float | None = None,
) -> Reply:
    """Sends a request to another server and waits for the answer. Raises FetchError when there is none.

    The operator allows the origin, and can let the host add a secret. Redirects are not followed.
    """
    return backend.fetch(outgoing(url, method, headers, query, body, json, form, timeout))


async def fetch_async(
    url: str,
    *,
    method: str = "GET",
    headers=None,
    query=None,
    body: bytes | str | None = None,
    json=None,
    form=None,
    timeout: float | None = None,
) -> Reply:
    """`fetch` for `async def`: several run at once in `asyncio.gather`. The reply's body is whole."""
    return await backend.fetch_async(outgoing(url, method, headers, query, body, json, form, timeout))


__all__ = [
    "Bucket",
    "FetchError",
    "Outgoing",
    "Receipt",
    "Reply",
    "StoreError",
    "charge",
    "config",
    "config_all",
    "fetch",
    "fetch_async",
    "store",
]
