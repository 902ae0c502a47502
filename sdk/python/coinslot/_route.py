"""Checks path templates and routes requests by them, as the host does.

tests/fixtures/path-templates.txt has the cases on which the host and the SDKs agree.
"""

import re
from urllib.parse import unquote_to_bytes

_PARAMETER = re.compile(r"\{(\*?)([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9\-._~!$&'()+,;=:@]+")


def problem(template: str) -> str | None:
    """What is wrong with a template, and what to write; None if nothing is."""
    if not template.startswith("/"):
        return f'a path starts with a slash: write "/{template}"'
    if len(template) > 512:
        return "a path has at most 512 bytes"
    if template == "/":
        return None
    if template.endswith("/"):
        return f'a path does not end with a slash: write "{template.rstrip("/") or "/"}"'
    if template == "/.well-known" or template.startswith("/.well-known/"):
        return "paths below /.well-known/ are the host's: choose another one"
    segments, names = template[1:].split("/"), []
    for place, segment in enumerate(segments):
        found = _PARAMETER.fullmatch(segment)
        if not found:
            wrong = _segment_problem(segment)
            if wrong:
                return wrong
            continue
        if found[2] in names:
            return f"the parameter {{{found[2]}}} occurs twice"
        if found[1] and place != len(segments) - 1:
            return f"{segment} takes the rest of the path, and so is its last segment"
        names.append(found[2])
    return None


def _segment_problem(segment: str) -> str | None:
    if not segment:
        return "a path has no empty segments: write one slash"
    if segment in (".", ".."):
        return f"{segment} is no segment: clients resolve it before they send the request"
    if "{" in segment or "}" in segment:
        if re.fullmatch(r"\{[^{}]*\}", segment):
            return f"{segment} has no name: write letters, digits and _, as in {{user_id}}"
        return f"a parameter is a whole segment, as in /items/{{id}}, and not a part of {segment!r}"
    if "%" in segment:
        return "a path has no percent-encoding: write a parameter where clients send other characters"
    if "?" in segment:
        return "the query is no part of the path: make it an argument of the function"
    if not _LITERAL.fullmatch(segment):
        bad = next(c for c in segment if not _LITERAL.fullmatch(c))
        return f"a path cannot have {bad!r}" + (": write {*name} for the rest of a path" if bad == "*" else "")
    return None


def parameters(template: str) -> list[str]:
    """The names of a template's parameters, in order."""
    return [found[2] for found in map(_PARAMETER.fullmatch, template.split("/")) if found]


def shape(template: str) -> str:
    """Equal for two templates that match the same paths."""
    return "/".join(_PARAMETER.sub(r"{\1}", segment) for segment in template.split("/"))


def specificity(template: str) -> list[int]:
    """A sort key: the smallest one belongs to the most specific template."""
    found = map(_PARAMETER.fullmatch, template.split("/"))
    return [0 if not f else 2 if f[1] else 1 for f in found]


def pattern(template: str) -> "re.Pattern[str]":
    """A regular expression that matches the paths of a template."""
    out = []
    for segment in template[1:].split("/"):
        found = _PARAMETER.fullmatch(segment)
        out.append(f"(?P<{found[2]}>{'.+' if found[1] else '[^/]+'})" if found else re.escape(segment))
    return re.compile("/" + "/".join(out), re.DOTALL)


def decode(text: str) -> str:
    """Percent-decodes. Raises ValueError for what is not percent-encoded UTF-8."""
    if "%" not in text:
        return text
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("is not percent-encoded: write %25 for a percent sign")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


class NotEncoded(str):
    """Text that is not percent-encoded UTF-8, as the URL standard reads it: what cannot be decoded stays or is replaced."""


def parse_query(query: str | None) -> dict[str, list[str]]:
    """The values of each key, in order; a plus sign is a space. Values that are not percent-encoded are `NotEncoded`."""
    out: dict[str, list[str]] = {}
    for pair in (query or "").split("&"):
        if pair:
            name, _, value = pair.replace("+", " ").partition("=")
            out.setdefault(_decode_any(name), []).append(_decode_any(value))
    return out


def _decode_any(text: str) -> str:
    try:
        return decode(text)
    except ValueError:
        return NotEncoded(unquote_to_bytes(text).decode(errors="replace"))


def find(endpoints, method: str, path: str):
    """The most specific endpoint and its parameters, still encoded; or None and the other methods of the path."""
    best, others = None, set()
    for endpoint in endpoints:
        found = endpoint.pattern.fullmatch(path)
        if not found:
            continue
        if endpoint.method != method:
            others.add(endpoint.method)
        elif best is None or endpoint.specificity < best[0].specificity:
            best = endpoint, found.groupdict()
    return best or (None, sorted(others))
