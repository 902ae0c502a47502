"""Requests are read into arguments, and what functions return and yield becomes answers."""

import contextlib
import io
import os
import time
import unittest

from support import ROOT, PluginTest, define

from coinslot import Receipt, Refusal, _host, _json, testing
from coinslot.testing import call, configure, quote, stub_fetch

SHOP = '''
import dataclasses
from typing import Annotated
from coinslot import *

@get("/hello/{name}", price="0.001")
def hello(name: str, times: int = 1) -> str:
    """Says hello to somebody"""
    return f"Hello, {name}!\\n" * times

@dataclasses.dataclass
class Order:
    text: Annotated[str, Length(1, 10)]
    loud: bool = False

@dataclasses.dataclass
class Shout:
    shout: str
    length: int

def by_length(order):
    if order.text == "secret":
        raise Refusal(403, "not_that", "say something else")
    return f"{len(order.text) * 0.001:.3f}" if order.text != "free" else "0"

@post("/shout", quoted="0.01", quote=by_length)
def shout(order: Order) -> Shout:
    return Shout(order.text.upper() + "!" * order.loud, len(order.text))

def known(country):
    if country != "france":
        raise Refusal(404, "unknown_country", "ask for france")

@get("/capital/{country}", price="0.01", check=known)
def capital(country) -> str:
    return "Paris"

@get("/sum", free=True)
def total(n: list[int], by: float | None = None) -> dict:
    return {"sum": sum(n), "by": by}
'''


class Reading(PluginTest):
    def setUp(self):
        super().setUp()
        define(SHOP)

    def test_arguments_come_from_path_query_and_body(self):
        self.assertEqual(call("GET", "/hello/Ada%20L?times=2").text, "Hello, Ada L!\nHello, Ada L!\n")
        answer = call("POST", "/shout", json={"text": "hey", "loud": True})
        self.assertEqual((answer.status, answer.json(), answer.price), (200, {"shout": "HEY!", "length": 3}, "0.003"))
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(call("GET", "/sum?n=1&n=2").json(), {"sum": 3, "by": None})
        self.assertEqual(call("GET", "/sum?n=1&by=1.5&other=x").json(), {"sum": 1, "by": 1.5})

    def test_what_does_not_fit_is_refused_with_a_pointer(self):
        for method, url, body, code, pointer, message in (
            ("GET", "/hello/a?times=x", b"", "invalid_query", "/query/times", "/query/times must be a whole number"),
            ("GET", "/hello/%ff", b"", "invalid_path", "/path/name", "/path/name is not UTF-8"),
            (
                "GET",
                "/hello/a?times=1&times=2",
                b"",
                "invalid_query",
                "/query/times",
                "/query/times occurs 2 times: write it once",
            ),
            ("GET", "/sum", b"", "invalid_query", "/query/n", "/query/n is missing: add ?n=.."),
            ("GET", "/sum?n=1&n=x", b"", "invalid_query", "/query/n/1", "/query/n/1 must be a whole number"),
            ("GET", "/sum?n=%", b"", "invalid_query", "/query/n", "is not percent-encoded"),
            ("POST", "/shout", b"", "invalid_body", "/body", "the body is empty: send JSON that fits the input schema"),
            ("POST", "/shout", b"{", "invalid_body", "/body", "the body is not JSON"),
            ("POST", "/shout", b"[NaN]", "invalid_body", "/body", "the body is not JSON: NaN is no number of JSON"),
            ("POST", "/shout", b"\xff", "invalid_body", "/body", "the body is not JSON"),
            (
                "POST",
                "/shout",
                b'{"text": ""}',
                "invalid_body",
                "/body/text",
                "/body/text must have at least 1 character",
            ),
            (
                "POST",
                "/shout",
                b"[" * 100_000,
                "invalid_body",
                "/body",
                "the body is not JSON: it nests deeper than 127 levels",
            ),
        ):
            with self.subTest(url=url, body=body[:20]):
                self.assertIn(message, self.refused(call(method, url, body=body), 400, code, pointer))

    def test_a_list_may_be_optional_or_one_of_several_types(self):
        """Each value was checked as if it were the whole list, so every query that had it was refused."""
        define(
            '''
from dataclasses import dataclass
from typing import Annotated
from coinslot import *

@dataclass
class Lists:
    n: list[int] | None = None
    few: Annotated[list[int], Length(1, 2)] | None = None
    any: Annotated[list[int] | None, "numbers"] = None
    either: list[int] | str = ""

@get("/lists", free=True)
def lists(
    n: list[int] | None = None,
    few: Annotated[list[int], Length(1, 2)] | None = None,
    any: Annotated[list[int] | None, "numbers"] = None,
    either: list[int] | str = "",
) -> list:
    return [n, few, any, either]

@post("/lists", free=True)
def sent(body: Lists) -> list:
    return [body.n, body.few, body.any, body.either]
'''
        )
        for text, answer in (
            ("", [None, None, None, ""]),
            ("n=1", [[1], None, None, ""]),
            ("n=1&n=2&few=3&any=4&any=5&either=6", [[1, 2], [3], [4, 5], [6]]),
            ("either=x", [None, None, None, "x"]),
        ):
            form = {"content-type": "application/x-www-form-urlencoded"}
            with self.subTest(text=text):
                self.assertEqual(call("GET", f"/lists?{text}").json(), answer)
                self.assertEqual(call("POST", "/lists", body=text or "{}", headers=form).json(), answer)
        for text, pointer, message in (
            ("n=1&n=x", "/n/1", "must be a whole number"),
            ("few=1&few=2&few=3", "/few", "must have at most 2 items"),
            ("any=x", "/any/0", "must be a whole number"),
            ("either=x&either=y", "/either/0", "must be a whole number"),
        ):
            with self.subTest(text=text):
                query = self.refused(call("GET", f"/lists?{text}"), 400, "invalid_query", f"/query{pointer}")
                sent = call("POST", "/lists", body=text, headers=form)
                body = self.refused(sent, 400, "invalid_body", f"/body{pointer}")
                self.assertIn(message, query)
                self.assertIn(message, body)

    def test_json_that_programs_read_differently_is_refused(self):
        """A component's stack ends before Python raises RecursionError, so the depth is looked at before the parser."""
        deep = b'{"text": "]]", "in": ' + b"[" * 127
        for body, rule in (
            (deep, "json"),
            (b'{"text": "\\\\", "in": ' + b'{"a":' * 127, "json"),
            ('{"text": "hey"}'.encode("utf-16"), "json"),
            ('{"text": "hey"}'.encode("utf-32-le"), "json"),
            (b'{"text": "hey", "text": "ho"}', "duplicate_name"),
            (b'{"text": "hey", "more": [{"a": 1, "\\u0061": 2}]}', "duplicate_name"),
            (b'{"text": "a", "\\ud800": 1}', "json"),
            (b'{"text": "\\uDFFF"}', "json"),
            (b'{"text": "\\ude00\\ud83d"}', "json"),
        ):
            with self.subTest(body=body[:40]):
                self.refused(call("POST", "/shout", body=body), 400, "invalid_body", "/body", rule)
        for text, said in (("\\ud83d\\ude00", "\U0001f600"), ("\\\\ud800", "\\UD800"), ("[" * 7, "[" * 7)):
            body = f'\ufeff{{"text": "{text}"}}'
            self.assertEqual(call("POST", "/shout", body=body).json()["shout"], said)

    def test_the_depth_is_found_in_time_that_grows_with_the_body(self):
        brackets = b"[]" * 100
        for body in (b'"' + b'\\"' * 500_000, b"\\" * 1_000_000, b'"[" ' * 250_000, b"[" * 126 + b"]{}[" * 250_000):
            started = time.monotonic()
            self.assertFalse(_json._is_too_deep(brackets + body))
            self.assertLess(time.monotonic() - started, 5)

    def test_a_form_is_a_body_too(self):
        self.assertEqual(call("POST", "/shout", form={"text": "hey", "loud": "true"}).json()["shout"], "HEY!")
        form = {"content-type": "application/x-www-form-urlencoded"}
        self.assertEqual(call("POST", "/shout", body='{"text": "hey"}', headers=form).json()["shout"], "HEY")
        answer = call("POST", "/shout", form={"text": "hey", "loud": "yes"})
        self.refused(answer, 400, "invalid_body", "/body/loud", "type")
        self.refused(call("POST", "/shout", body="text=%", headers=form), 400, "invalid_body", "/body/text")
        multipart = b'--X\r\nContent-Disposition: form-data; name="text"\r\n\r\nhey\r\n--X--\r\n'
        answer = call("POST", "/shout", body=multipart, headers={"content-type": "multipart/form-data; boundary=X"})
        self.assertEqual(answer.json()["shout"], "HEY")

    def test_the_rule_of_the_schema_is_named(self):
        for url, body, pointer, rule in (
            ("/shout", b'{"text": "a", "lowd": 1}', "/body/lowd", "additionalProperties"),
            ("/shout", b"{}", "/body/text", "required"),
            ("/shout", b'{"text": 1}', "/body/text", "type"),
            ("/shout", b'{"text": ""}', "/body/text", "minLength"),
        ):
            self.refused(call("POST", url, body=body), 400, "invalid_body", pointer, rule)

    def test_what_is_no_body_and_no_query_is_named_as_by_the_host(self):
        for body, rule in ((b"", "required"), (b"{", "json"), (b"\xff", "json")):
            self.refused(call("POST", "/shout", body=body), 400, "invalid_body", "/body", rule)
        form = {"content-type": "application/x-www-form-urlencoded"}
        self.refused(call("POST", "/shout", body=b"text=%f", headers=form), 400, "invalid_body", "/body/text", "encoding")
        multipart = {"content-type": "multipart/form-data; boundary=X"}
        self.refused(call("POST", "/shout", body=b"--X", headers=multipart), 400, "invalid_body", "/body", "form")

    def test_no_such_path_or_method(self):
        self.refused(call("GET", "/nothing"), 404, "not_found")
        answer = call("PUT", "/shout")
        self.refused(answer, 405, "method_not_allowed")
        self.assertEqual(answer.headers["allow"], "POST")

    def test_quotes_and_checks(self):
        self.assertEqual(quote("POST", "/shout", json={"text": "hey"}), "0.003")
        self.assertIsNone(quote("POST", "/shout", json={"text": "free"}))
        self.assertEqual(quote("GET", "/hello/Ada"), "0.001")
        with self.assertRaises(Refusal) as caught:
            quote("POST", "/shout", json={"text": "secret"})
        self.assertEqual(caught.exception.code, "not_that")
        self.refused(call("POST", "/shout", json={"text": "secret"}), 403, "not_that")
        self.refused(call("GET", "/capital/mars"), 404, "unknown_country")
        self.assertEqual(call("GET", "/capital/france").text, "Paris")

    def test_the_shared_table_of_amounts(self):
        with open(os.path.join(ROOT, "tests", "fixtures", "amounts.txt"), encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
        for line in lines:
            verdict, text = line.split(" ", 1)
            self.assertEqual(_host.is_amount(text), verdict == "valid", line)
        self.assertGreater(len(lines), 25)

    def test_a_quote_answers_an_exact_amount(self):
        define(
            "from coinslot import get\nimport decimal\nAMOUNT = None\n"
            '@get("/x", quoted="1", quote=lambda: AMOUNT)\ndef f() -> str: ...\n'
        )
        import sys

        module = sys.modules["app"]
        for amount, expected in (("0.5", "0.5"), (1, "1"), (0, None), (module.decimal.Decimal("1E-3"), "0.001")):
            module.AMOUNT = amount
            self.assertEqual(quote("GET", "/x"), expected)
        for amount, error in ((0.5, TypeError), (None, TypeError), ("a cent", ValueError), (-1, ValueError)):
            module.AMOUNT = amount
            with self.assertRaises(error):
                quote("GET", "/x")


class Surrogates(PluginTest):
    """UTF-8 carries no half of a surrogate pair, and an exception in the place of an answer ends the instance."""

    def test_a_refusal_and_an_answer_replace_them(self):
        define("""
from coinslot import *
@get("/refused", free=True)
def refused() -> str:
    raise Refusal(400, "odd", "not \\ud800", pointer="/body/\\udfff", rule="odd\\ud800")
@get("/text", free=True)
def text() -> str:
    return "a\\ud800"
@get("/json", free=True)
def json() -> dict:
    return {"\\ud800": "\\udfff"}
@get("/events", free=True)
def events():
    yield "a\\ud800"
""")
        message = self.refused(call("GET", "/refused"), 400, "odd", "/body/\ufffd", "odd\ufffd")
        self.assertEqual(message, "not \ufffd")
        self.assertEqual(call("GET", "/text").text, "a\ufffd")
        self.assertEqual(call("GET", "/json").json(), {"\ufffd": "\ufffd"})
        self.assertIn("data: a\ufffd\n", call("GET", "/events").text)


class Sources(PluginTest):
    def test_request_receipt_headers_and_bodies(self):
        define("""
from typing import Annotated
from coinslot import *

@get("/who", price="0.01")
def who(receipt: Receipt | None, request: Request) -> dict:
    payer = receipt.payer if receipt else None
    return {"payer": payer, "agent": request.headers.get("User-Agent"), "query": request.query}

@get("/free", free=True)
def free(receipt: Receipt | None) -> dict:
    return {"payer": receipt}

def by_tier(tier):
    return "0.02" if tier == "gold" else "0.01"

@get("/tier", quoted="0.02", quote=by_tier)
def tier(tier: Annotated[str, Header("X-Tier")] = "basic") -> str:
    return tier

@get("/needed", price="0.01")
def needed(tier: Annotated[int, Header("X-Tier")]) -> int:
    return tier

@post("/raw", free=True)
def raw(data: bytes) -> bytes:
    return data[::-1]

@post("/text", free=True)
def text(words: Annotated[str, Body]) -> str:
    return words.upper()

@post("/list", free=True)
def numbers(values: Annotated[list[int], Body, Length(1, 3)]) -> int:
    return sum(values)

@post("/form", free=True)
def form(request: Request) -> list:
    return [[k, v.filename if isinstance(v, File) else v] for k, v in request.form().items()]

@post("/pieces", free=True)
def pieces(request: Request) -> int:
    return sum(len(piece) for piece in request.stream())
""")
        answer = call(
            "GET", "/who?a", headers={"user-agent": "me"}, receipt=Receipt("0xA", "0.01", "0xB", "eip155:1", "p")
        )
        self.assertEqual(answer.json(), {"payer": "0xA", "agent": "me", "query": "a"})
        self.assertEqual(call("GET", "/free").json(), {"payer": None})
        self.assertEqual(testing.manifest()[2]["input_schema"], None)
        self.assertEqual(call("GET", "/tier", headers={"x-tier": "gold"}).price, "0.02")
        self.assertEqual(call("GET", "/tier").price, "0.01")
        self.refused(call("GET", "/needed"), 400, "invalid_header", "/header/x-tier", "required")
        self.refused(call("GET", "/needed", headers={"x-tier": "a"}), 400, "invalid_header", "/header/x-tier")
        self.assertEqual(call("POST", "/raw", body=b"\x00\xff").body, b"\xff\x00")
        self.assertEqual(call("POST", "/text", body="é").text, "É")
        self.assertEqual(call("POST", "/list", json=[1, 2]).json(), 3)
        self.refused(call("POST", "/list", json=[1, 2, 3, 4]), 400, "invalid_body", "/body")
        self.assertEqual(
            call("POST", "/form", form={"a": ["1", "2"], "b": "x y"}).json(), [["a", ["1", "2"]], ["b", "x y"]]
        )
        multipart = (
            b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--X\r\nContent-Disposition: form-data; '
            b'name="f"; filename="f.bin"\r\nContent-Type: image/png\r\n\r\n\r\n\x00--X-\r\n--X--\r\n'
        )
        answer = call("POST", "/form", body=multipart, headers={"content-type": "multipart/form-data; boundary=X"})
        self.assertEqual(answer.json(), [["a", "1"], ["f", "f.bin"]])
        self.refused(call("POST", "/form", body=b"x"), 415, "not_a_form")
        self.refused(
            call("POST", "/form", body=multipart[:-6], headers={"content-type": "multipart/form-data; boundary=X"}),
            400,
            "invalid_body",
            "/body",
        )
        self.assertEqual(call("POST", "/pieces", body=b"abc").json(), 3)


class Answers(PluginTest):
    def test_values(self):
        define("""
from coinslot import *
@get("/none", free=True)
def none() -> None: ...
@get("/absent", free=True)
def absent() -> str | None: ...
@get("/forgot", free=True)
def forgot() -> str: ...
@get("/html", free=True)
def html() -> Html:
    return Html("<p>")
@get("/png", free=True, mime_type="image/png")
def png() -> bytes:
    return b"png"
@get("/made", free=True)
def made() -> Response:
    return Response({"a": 1}, 201, {"X-A": "b"})
@get("/away", free=True)
def away() -> Redirect:
    return Redirect("/made")
@get("/own", free=True)
def own() -> Response:
    return Response("a,b", mime_type="text/csv")
@get("/later", free=True)
async def later() -> list[int]:
    import asyncio
    await asyncio.sleep(0)
    return [1, 2]
@get("/wrong", free=True)
def wrong() -> list[int]:
    return ["a"]
""")
        self.assertEqual((call("GET", "/none").status, call("GET", "/none").body), (204, b""))
        self.refused(call("GET", "/absent"), 404, "not_found")
        with self.assertRaisesRegex(TypeError, "forgot returned None: return an answer"):
            call("GET", "/forgot")
        for path, media, body in (
            ("/html", "text/html; charset=utf-8", b"<p>"),
            ("/png", "image/png", b"png"),
            ("/own", "text/csv", b"a,b"),
            ("/later", "application/json", b"[1,2]"),
        ):
            answer = call("GET", path)
            self.assertEqual((answer.status, answer.headers["content-type"], answer.body), (200, media, body))
        made = call("GET", "/made")
        self.assertEqual((made.status, made.headers["x-a"], made.json()), (201, "b", {"a": 1}))
        self.assertEqual((call("GET", "/away").status, call("GET", "/away").headers["location"]), (303, "/made"))
        with self.assertRaisesRegex(AssertionError, "GET /wrong answered what is not .*: /0 must be a whole number"):
            call("GET", "/wrong")

    def test_streams(self):
        define("""
import asyncio
from coinslot import *
@get("/events", free=True)
def events(n: int = 2):
    if n > 3:
        raise Refusal(400, "too_many", "at most 3")
    for i in range(n):
        yield {"event": "tick", "data": {"i": i}}
@get("/async", free=True)
async def later():
    for i in range(2):
        await asyncio.sleep(0)
        yield Event(i, id=str(i))
    yield "two\\nlines"
@get("/lines", free=True, mime_type="application/x-ndjson; x=json")
def lines():
    yield {"a": 1}
    yield "raw\\n"
@get("/bytes", free=True, mime_type="text/csv")
def parts():
    yield "a,"
    yield b"b"
@get("/breaks", free=True)
def breaks():
    yield 1
    raise ValueError("no more")
""")
        answer = call("GET", "/events")
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        self.assertEqual(answer.events(), [{"event": "tick", "data": '{"i":0}'}, {"event": "tick", "data": '{"i":1}'}])
        self.assertEqual(call("GET", "/events?n=0").body, b"")
        self.refused(call("GET", "/events?n=4"), 400, "too_many")
        self.assertEqual(call("GET", "/async").body, b"id: 0\ndata: 0\n\nid: 1\ndata: 1\n\ndata: two\ndata: lines\n\n")
        self.assertEqual(call("GET", "/bytes").pieces, [b"a,", b"b"])
        self.assertEqual(call("GET", "/lines").text, '{"a":1}\nraw\n')
        with self.assertRaisesRegex(ValueError, "no more"):
            call("GET", "/breaks")

    def test_an_uncaught_exception_is_logged_in_the_authors_words_and_answered_500(self):
        define("""from coinslot import get
def fee(x):
    return 1 / x
@get("/x/{n}", free=True)
def f(n: int) -> str:
    return fee(n)
""")
        log = io.StringIO()
        with contextlib.redirect_stderr(log):
            answer = call("GET", "/x/0", catch=True)
        self.refused(answer, 500, "plugin_failed")
        self.assertEqual(answer.headers["x-coinslot-failed"], "1", "the host counts it as a failure of the plugin")
        lines = log.getvalue().splitlines()
        self.assertEqual(
            lines,
            [
                "GET /x/{n} failed: ZeroDivisionError: division by zero at fee (app.py:3)",
                "  app.py:6 in f",
                "  app.py:3 in fee",
            ],
        )


class Host(PluginTest):
    def test_configuration_store_fetch_and_charge(self):
        define(
            """
import asyncio
from coinslot import *
@get("/count", price="0.01")
def count() -> str:
    store.set_json("last", {"n": 1})
    return f"{store.increment('calls')} {config('unit', 'calls')} {store.json('last')} {sorted(store.list('c'))}"
@post("/meter", up_to="0.05")
def meter(text: Annotated[str, Body]) -> str:
    charge(f"0.{len(text):03}")
    return "done"
@post("/charge", up_to="0.05")
def exactly(text: Annotated[str, Body]) -> None:
    charge(text)
@post("/no-meter", price="0.05")
def without(text: Annotated[str, Body]) -> None:
    charge(text)
@get("/rates", price="0.01")
def rates() -> dict:
    reply = fetch("https://api.example.com/rates", query={"base": "EUR"}).raise_for_status()
    return {"usd": reply.json()["usd"]}
@get("/both", price="0.01")
async def both() -> list[int]:
    replies = await asyncio.gather(fetch_async("https://a.example/x"), fetch_async("https://b.example/x"))
    return [reply.status for reply in replies]
""".replace("import asyncio", "import asyncio\nfrom typing import Annotated")
        )
        configure(unit="times")
        self.assertEqual(call("GET", "/count").text, "1 times {'n': 1} ['calls']")
        self.assertEqual(call("GET", "/count").text, "2 times {'n': 1} ['calls']")
        testing.reset()
        self.assertEqual(call("GET", "/count").text, "1 calls {'n': 1} ['calls']")
        self.assertEqual(call("POST", "/meter", body="hey").charged, "0.003")
        with self.assertRaisesRegex(ValueError, "more than the 0.05 that the caller has authorised"):
            call("POST", "/meter", body="a" * 60)
        with self.assertRaisesRegex(ValueError, "0.05000000000000000001 is more than the 0.05 that"):
            call("POST", "/charge", body="0.05000000000000000001")
        with self.assertRaisesRegex(ValueError, "the request is not metered: declare its price with `up_to`"):
            call("POST", "/no-meter", body="0.01")
        stub = stub_fetch("https://api.example.com/rates*", json={"usd": 1.1})
        self.assertEqual(call("GET", "/rates").json(), {"usd": 1.1})
        self.assertEqual(stub.requests[0].url, "https://api.example.com/rates?base=EUR")
        stub_fetch("https://api.example.com/rates*", status=500)
        with self.assertRaisesRegex(OSError, "answered 500"):
            call("GET", "/rates")
        stub_fetch("https://a.example/x", status=201)
        stub_fetch("https://b.example/x")
        self.assertEqual(call("GET", "/both").json(), [201, 200])
        testing.reset()
        with self.assertRaisesRegex(OSError, "stub_fetch"):
            call("GET", "/rates")

    def test_values_are_swapped_in_one_step(self):
        from coinslot import _host, store

        _host.set_backend(testing._simulated)
        self.assertTrue(store.compare_and_swap("a", None, "1"))
        self.assertFalse(store.compare_and_swap("a", None, "2"))
        self.assertTrue(store.compare_and_swap("a", b"1", None))
        self.assertNotIn("a", store)
        seen = []

        def raised(before):
            seen.append(before)
            if len(seen) == 1:
                store.set_json("bid", {"most": 3})  # another request comes in between
            return {"most": (before or {"most": 0})["most"] + 1}

        self.assertEqual(store.update_json("bid", raised), {"most": 4})
        self.assertEqual(seen, [None, {"most": 3}])
        with self.assertRaisesRegex(OSError, "have changed 'bid' 100 times"):
            store.update_json(
                "bid", lambda before: store.increment("n") and store.set("bid", str(store.increment("n")))
            )

    def test_a_quote_has_nothing_but_the_request(self):
        define('from coinslot import *\n@get("/x", quoted="1", quote=lambda: config("a"))\ndef f() -> str: ...\n')
        with self.assertRaisesRegex(RuntimeError, "a quote and a check have no config"):
            quote("GET", "/x")

    def test_requests_to_other_servers_are_checked(self):
        from coinslot import fetch

        for url, options in (
            ("ftp://a/b", {}),
            ("/a", {}),
            ("https://u:p@a/", {}),
            ("https://a/", {"method": "get"}),
            ("https://a/", {"json": 1, "body": b"x"}),
        ):
            with self.subTest(url), self.assertRaises(ValueError):
                fetch(url, **options)

    def test_refusals_are_checked(self):
        for status, code in ((402, "a"), (200, "a"), (400, "Not OK"), (600, "a")):
            with self.assertRaises(ValueError):
                Refusal(status, code, "m")
        self.assertEqual(Refusal(400, "a", "two\n  lines").message, "two lines")


if __name__ == "__main__":
    unittest.main()
