"""Calls the host through the imports of the component. An interface that the plugin does not use is not imported."""

from componentize_py_types import Err
from wit_world.imports import monotonic_clock, payment, poll, usage

from . import _wasi_http
from ._errors import ChargeError, StoreError
from ._host import Receipt

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


class ComponentImports:
    """The backend of `_host` in a component."""

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
            raise RuntimeError(f"the configuration cannot be read: {reason(error)}") from None

    def config_all(self):
        self._needs(config_store, "config")
        try:
            return dict(config_store.get_all())
        except Err as error:
            raise RuntimeError(f"the configuration cannot be read: {reason(error)}") from None

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


def reason(error: Err) -> str:
    value = error.value
    return str(getattr(value, "value", None) or type(value).__name__.partition("_")[2] or value)


def _stored(call, *arguments):
    try:
        return call(*arguments)
    except Err as error:
        name = type(error.value).__name__.partition("_")[2]
        if name == "AccessDenied":
            raise StoreError("the operator has not granted a key-value store to this plugin") from None
        raise StoreError(f"the key-value store: {reason(error)}") from None


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
        ComponentImports._needs(keyvalue_swap, "store.compare_and_swap")
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
