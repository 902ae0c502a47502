"""Defines the errors that authors raise and meet."""

import re

from ._text import well_formed

_CODE = re.compile(r"[a-z0-9_]+")


class DefinitionError(TypeError):
    """A mistake in an endpoint's definition. Its message starts with `file:line: function (METHOD /path)`."""


class Refusal(Exception):
    """Refuses the request: `raise Refusal(404, "no_such_page", "pages are 1 to 100")`.

    The caller pays nothing and reads `{"error": code, "message": message}`. Where one field is wrong, `pointer` is a
    JSON pointer to it, such as `/query/limit`, and `rule` the keyword of its schema that it breaks, which the caller
    reads as `code`. `check` and `quote` refuse with 400 to 499; an endpoint may also refuse with 500 to 599. Only the
    host answers 402.
    """

    def __init__(self, status: int, code: str, message: str, *, pointer: str | None = None, rule: str | None = None):
        super().__init__(f"{status} {code}: {message}")
        if not isinstance(status, int) or not 400 <= status <= 599 or status == 402:
            raise ValueError(f"{status!r} is not the status of a refusal: write 400 to 599, and not 402")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(f'{code!r} is not a code: write lower-case letters, digits and _, as in "unknown_stack"')
        self.status, self.code, self.message = status, code, well_formed(" ".join(str(message).split())[:2000])
        self.pointer, self.rule = (text and well_formed(text) for text in (pointer, rule))

    def facts(self) -> dict[str, str]:
        """What is known of the wrong field."""
        return {name: value for name, value in (("pointer", self.pointer), ("code", self.rule)) if value}

    def document(self) -> dict:
        """The body of the answer."""
        return {"error": self.code, "message": self.message, **self.facts()}


class Invalid(ValueError):
    """A value that does not fit its type. `path` has the keys from the innermost to the outermost; `rule` is the
    keyword of JSON Schema that the value breaks."""

    def __init__(self, reason: str, *path, rule: str | None = "type"):
        super().__init__(reason)
        self.reason, self.path, self.rule = reason, list(path), rule

    def pointer(self, *parents: str) -> str:
        """The JSON pointer (RFC 6901) of the value, below `parents`."""
        keys = [*parents, *map(str, reversed(self.path))]
        return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


class FetchError(OSError):
    """A request to another server that got no answer. `code` names the reason, for example `connection_refused`."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class StoreError(OSError):
    """A key-value operation that the host did not do: the operator has not granted the store, or its quota is full."""


class ChargeError(ValueError):
    """A charge that the host did not take. The charge stays as it was."""
