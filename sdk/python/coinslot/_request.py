"""Defines the request as an endpoint may see it."""

import re

from . import _route
from ._errors import Refusal
from ._json import DuplicateName, load_json


_BROKEN_FORM = "the form ends before its last boundary: send it again"


class Headers:
    """Header fields. Names are found in any case; `get` joins several values of one name by a comma."""

    def __init__(self, pairs=()):
        items = pairs.items() if hasattr(pairs, "items") else pairs
        self._pairs = [
            (name.lower(), value.decode("latin-1") if isinstance(value, bytes) else str(value)) for name, value in items
        ]

    def get(self, name: str, default=None):
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name.lower()]

    def items(self) -> list[tuple[str, str]]:
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.get_all(name))

    def __iter__(self):
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


class File:
    """A file of a form."""

    def __init__(self, filename: str, content_type: str, content: bytes):
        self.filename, self.content_type, self.content = filename, content_type, content

    def __repr__(self) -> str:
        return f"File({self.filename!r}, {self.content_type!r}, {len(self.content)} bytes)"


class Request:
    """The request as it came: `def f(request: Request)`."""

    def __init__(
        self,
        method: str,
        path: str,
        query: str | None,
        headers: Headers,
        pieces,
        route: str = "",
        params: dict[str, str] | None = None,
    ):
        self.method, self.path, self.query, self.headers = method, path, query, headers
        self.route, self.params = route, params or {}
        self._pieces, self._body = pieces, None

    @property
    def body(self) -> bytes:
        """The whole body."""
        if self._body is None:
            if self._pieces is None:
                raise RuntimeError("the body was read by `stream`, and is not kept")
            self._body = b"".join(self._pieces)
            self._pieces = None
        return self._body

    def stream(self):
        """The pieces of the body, as they arrive. They are not kept: read them once."""
        if self._body is not None:
            return iter((self._body,))
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            raise RuntimeError("the body was read by `stream`, and is not kept")
        return iter(pieces)

    def text(self) -> str:
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise Refusal(400, "invalid_body", "the body is not UTF-8", pointer="/body", rule="encoding") from None

    def json(self):
        return read_json(self.body)

    @property
    def is_form(self) -> bool:
        """True for a body that is a form. Clients such as curl name JSON a form, too: what begins as JSON is none."""
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == "application/x-www-form-urlencoded":
            return not self.body.lstrip().startswith((b"{", b"["))
        return media == "multipart/form-data"

    def form(self) -> dict[str, str | File | list]:
        """The fields of a form, urlencoded or multipart: text or a `File`; a list where a name occurs several times."""
        media, _, parameters = self.headers.get("content-type", "").partition(";")
        if media.strip().lower() == "application/x-www-form-urlencoded":
            return _joined((k, v) for k, values in _route.parse_query(self.text()).items() for v in values)
        boundary = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', parameters)
        if media.strip().lower() == "multipart/form-data" and boundary:
            return _joined(_parts(self.body, (boundary[1] or boundary[2]).encode()))
        raise Refusal(415, "not_a_form", "send a form: multipart/form-data or application/x-www-form-urlencoded")


def _joined(pairs) -> dict:
    out: dict = {}
    for name, value in pairs:
        if name not in out:
            out[name] = value
        elif isinstance(out[name], list):
            out[name].append(value)
        else:
            out[name] = [out[name], value]
    return out


def _parts(body: bytes, boundary: bytes):
    """The parts of multipart/form-data (RFC 7578)."""
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise Refusal(400, "invalid_body", _BROKEN_FORM, pointer="/body", rule="form")
    for section in sections[1:-1]:
        head, found, content = section.partition(b"\r\n\r\n")
        fields = dict(_header_lines(head))
        disposition = fields.get("content-disposition", "")
        name = re.search(r'[;\s]name="([^"]*)"', disposition)
        if not found or not name:
            raise Refusal(400, "invalid_body", "a part of the form has no name", pointer="/body", rule="form")
        filename = re.search(r'filename="([^"]*)"', disposition)
        if filename or "content-type" in fields and not fields["content-type"].startswith("text/plain"):
            media = fields.get("content-type", "application/octet-stream")
            yield name[1], File(filename[1] if filename else "", media, content)
        else:
            yield name[1], content.decode("utf-8", "replace")


def _header_lines(head: bytes):
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def read_json(body: bytes):
    """The JSON of a body. Refuses what is not JSON."""
    if not body:
        reason = "the body is empty: send JSON that fits the input schema"
        raise Refusal(400, "invalid_body", reason, pointer="/body", rule="required")
    try:
        return load_json(body)
    except DuplicateName as error:
        raise Refusal(400, "invalid_body", f"the body: {error}", pointer="/body", rule="duplicate_name") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, "invalid_body", f"the body is not JSON: {reason}", pointer="/body", rule="json") from None
