"""Defines requests to other servers and their answers."""

import dataclasses
import re
from json import loads
from urllib.parse import urlencode

from ._errors import FetchError
from ._json import dump_json
from ._request import Headers


class Reply:
    """The answer of another server."""

    def __init__(self, url: str, status: int, headers: Headers, pieces):
        self.url, self.status, self.headers = url, status, headers
        self._pieces, self._body = pieces, None

    @property
    def ok(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status <= 299

    @property
    def body(self) -> bytes:
        """The whole body."""
        if self._body is None:
            self._body = b"".join(self._pieces)
        return self._body

    def stream(self):
        """The pieces of the body, as they arrive. Read them once."""
        return iter((self._body,)) if self._body is not None else iter(self._pieces)

    def text(self) -> str:
        found = re.search(r"charset=\"?([\w\-]+)", self.headers.get("content-type", ""))
        try:
            return self.body.decode(found[1] if found else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return loads(self.body)
        except ValueError as error:
            raise FetchError("not_json", f"{self.url} answered {self.status} with what is not JSON: {error}") from None

    def raise_for_status(self) -> "Reply":
        """Raises FetchError for a status of 400 or more."""
        if self.status >= 400:
            raise FetchError(f"status_{self.status}", f"{self.url} answered {self.status}")
        return self


_METHOD = re.compile(r"[A-Z]+")
_URL = re.compile(r"(https?)://([^/?#@\s]+)([/?][^#\s]*)?(?:#.*)?", re.IGNORECASE)


@dataclasses.dataclass
class Outgoing:
    """A request to another server, checked."""

    method: str
    url: str
    scheme: str
    authority: str
    path_with_query: str
    headers: list[tuple[str, str]]
    body: bytes | None
    timeout: float | None


def outgoing(url, method, headers, query, body, json, form, timeout) -> Outgoing:
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query, doseq=True)
    found = _URL.fullmatch(url)
    if not found:
        raise ValueError(f"{url!r} is no URL of another server: write https://host/path, without a user or a password")
    if not _METHOD.fullmatch(method):
        raise ValueError(f'{method!r} is no method: write it in capitals, as in "POST"')
    if sum(part is not None for part in (body, json, form)) > 1:
        raise ValueError("a request has one body: write body=, json= or form=")
    fields = Headers(headers or ()).items()
    named = {name for name, _ in fields}
    media = None
    if json is not None:
        body, media = dump_json(json), "application/json"
    elif form is not None:
        body, media = urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    elif isinstance(body, str):
        body, media = body.encode(), "text/plain; charset=utf-8"
    if media and "content-type" not in named:
        fields.append(("content-type", media))
    path = found[3] or "/"
    path = path if path.startswith("/") else "/" + path
    return Outgoing(method, url, found[1].lower(), found[2], path, fields, body, timeout)
