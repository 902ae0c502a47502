"""Sells functions over HTTP: a decorator with a price makes a plain Python function a paid endpoint.

from coinslot import get

@get("/hello/{name}", price="0.001")
def hello(name: str, times: int = 1) -> str:
    \"\"\"Says hello to somebody\"\"\"
    return f"Hello, {name}!\\n" * times
"""

from ._answer import Event, Html, Redirect, Response
from ._constraints import Body, Header, Length, Pattern, Range
from ._endpoint import delete, get, patch, post, put
from ._errors import ChargeError, DefinitionError, FetchError, Refusal, StoreError
from ._host import Bucket, Receipt, Reply, charge, config, config_all, fetch, fetch_async, store
from ._plugin import check_config, plugin
from ._request import File, Headers, Request

__version__ = "0.1.0"

__all__ = [
    "Body",
    "Bucket",
    "ChargeError",
    "DefinitionError",
    "Event",
    "FetchError",
    "File",
    "Header",
    "Headers",
    "Html",
    "Length",
    "Pattern",
    "Range",
    "Receipt",
    "Redirect",
    "Refusal",
    "Reply",
    "Request",
    "Response",
    "StoreError",
    "charge",
    "check_config",
    "config",
    "config_all",
    "delete",
    "fetch",
    "fetch_async",
    "get",
    "patch",
    "plugin",
    "post",
    "put",
    "store",
]
