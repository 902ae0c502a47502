"""Checks what a decorator declares of an endpoint.

A mistake raises DefinitionError, which names the file, the line and the function, and says what to write.
"""

import difflib
import inspect
import re

from . import _host, _route, _trace
from ._errors import DefinitionError

OPTIONS = (
    "price",
    "quoted",
    "quote",
    "up_to",
    "free",
    "summary",
    "description",
    "mime_type",
    "upfront",
    "pass_",
    "check",
    "headers",
    "examples",
)

# 366 days, and the most requests of a pass.
MOST_OF_A_PASS = {"seconds": 31_622_400, "requests": 1_000_000}


class Declaration:
    """A function with its route, its price and its other options. `others` are the endpoints before it."""

    def __init__(self, method: str, path: str, function, options: dict, others: list["Declaration"]):
        self.method, self.path, self.function = method, path, function
        self._check_function()
        for name in options:
            if name not in OPTIONS:
                close = difflib.get_close_matches(name, OPTIONS, 1)
                self.fail(
                    f"there is no {name}=" + (f"; write {close[0]}=" if close else f"; there is {', '.join(OPTIONS)}")
                )
        self.options = options
        self._check_price()
        self._check_path(others)
        self._check_functions()
        self._check_texts()
        self._check_headers()
        self._check_pass()

    def fail(self, text: str):
        """Raises DefinitionError with the place of the endpoint."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        place = f"{_trace.short(code.co_filename)}:{code.co_firstlineno}" if code else "?"
        raise DefinitionError(f"{place}: {self.name} ({self.method} {self.path}): {text}") from None

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

    def option(self, name: str, default=None):
        return self.options.get(name, default)

    def _check_function(self) -> None:
        if not inspect.isfunction(inspect.unwrap(self.function)):
            self.fail(
                f"an endpoint is a function, not a {type(self.function).__name__}: write the decorator above `def`"
            )
        if not isinstance(self.path, str):
            self.fail(f'a path is text: @{self.method.lower()}("/path", price="0.01")')

    def _check_price(self) -> None:
        given = [name for name in ("price", "quoted", "up_to") if self.option(name) is not None]
        given += ["free"] if self.option("free") else []
        if not given:
            self.fail(
                'what does it cost? Write price="0.01" (US dollars), quoted="0.50" with quote=function, or free=True'
            )
        if len(given) > 1:
            self.fail(f"it has one price: write {'= or '.join(given)}=, not both")
        if given[0] != "free":
            self._check_amount(given[0])
        if given[0] == "quoted" and not self.option("quote"):
            self.fail("quoted= needs quote=, a function of the same arguments that returns the price of this request")
        if given[0] != "quoted" and self.option("quote"):
            self.fail('quote= goes with quoted="..", the most that it may ask; to refuse bad input write check=')
        self.price_kind, self.price = given[0], self.option(given[0])

    def _check_amount(self, name: str) -> None:
        value = self.option(name)
        if not isinstance(value, str):
            self.fail(f'a price is text, so that nothing is lost to rounding: write {name}="{value}"')
        if not _host.is_amount(value):
            shown = re.sub(r"[^0-9.]", "", value)
            hint = shown if _host.is_amount(shown) else "0.01"
            self.fail(
                f"{name}={value!r} is no amount: write digits, and a dot and more digits if you need them, as in "
                f'{name}="{hint}"; it is in US dollars'
            )
        if is_zero(value):
            self.fail(
                f"{name}={value!r} is nothing: write free=True" if name == "price" else f"{name}= is more than zero"
            )

    def _check_path(self, others: list["Declaration"]) -> None:
        wrong = _route.problem(self.path)
        if wrong:
            self.fail(f"the path {self.path!r}: {wrong}")
        for other in others:
            if other.method == self.method and _route.shape(other.path) == _route.shape(self.path):
                self.fail(f"{other.name} serves {other.method} {other.path} already: choose another path")
        self.pattern, self.specificity = _route.pattern(self.path), _route.specificity(self.path)

    def _check_functions(self) -> None:
        for option in ("quote", "check"):
            function = self.option(option)
            if function is None:
                continue
            if not callable(function):
                self.fail(f"{option}= is a function, not {function!r}")
            if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
                self.fail(
                    f"{option}={function.__name__} is a plain function: it runs before the payment, without network"
                )

    def _check_texts(self) -> None:
        doc = inspect.getdoc(self.function) or ""
        first, _, rest = doc.partition("\n\n")
        words = " ".join((self.option("summary") or first or self.name.replace("_", " ")).split())
        self.summary, self.description = words, (self.option("description") or rest).strip()
        if len(self.summary) > 120:
            self.fail(
                f"the summary has {len(self.summary)} characters, and at most 120 fit: the docstring's first "
                "paragraph is the summary, what follows an empty line is the description"
            )
        if len(self.description) > 2000:
            self.fail(f"the description has {len(self.description)} characters, and at most 2,000 fit")
        mime_type = self.option("mime_type")
        if mime_type is not None and (not isinstance(mime_type, str) or "/" not in mime_type):
            self.fail(f'mime_type={mime_type!r} is no media type: write mime_type="image/png"')

    def _check_headers(self) -> None:
        headers = self.option("headers", ())
        if isinstance(headers, str) or not all(isinstance(name, str) for name in headers):
            self.fail('headers= is a list of names: write headers=["x-tier"]')
        self.quote_headers = list(dict.fromkeys(name.lower() for name in headers))


    def _check_pass(self) -> None:
        terms, example = self.option("pass_"), 'pass_={"seconds": 3600, "requests": 100}'
        self.pass_terms = None
        if terms is None:
            return
        if self.price_kind == "free":
            self.fail("a pass is bought by a payment, and this endpoint is free")
        if self.price_kind == "quoted":
            self.fail('a pass goes with price=".."; where the price is quoted the operator may give one')
        if not isinstance(terms, dict) or set(terms) != {"seconds", "requests"}:
            self.fail(f"a pass is a time and a number of further requests: write {example}")
        for name, most in MOST_OF_A_PASS.items():
            if type(terms[name]) is not int or not 1 <= terms[name] <= most:
                self.fail(f"{name} of a pass is a whole number from 1 to {most}: write {example}")
        self.pass_terms = f"seconds={terms['seconds']}; requests={terms['requests']}"


def is_zero(amount: str) -> bool:
    return not re.search("[1-9]", amount.partition(" ")[0])
