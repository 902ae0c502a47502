"""Makes text that UTF-8 can carry."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which UTF-8 cannot carry."""
    return _SURROGATE.sub("\ufffd", text)


def utf8(text: str) -> bytes:
    return well_formed(text).encode()
