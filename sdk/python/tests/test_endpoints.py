"""Mistakes in a definition are errors that name the place and say what to write; the manifest says what is right."""

import unittest

from support import PluginTest, define

from coinslot import DefinitionError, testing

# What is written -> what the author reads, after `app.py:2: f (GET /x): `.
MISTAKES = (
    ('@get("/x")\ndef f() -> str: ...', 'what does it cost? Write price="0.01"'),
    (
        '@get("/x", price=0.01)\ndef f() -> str: ...',
        'a price is text, so that nothing is lost to rounding: write price="0.01"',
    ),
    ('@get("/x", price="$0.01")\ndef f() -> str: ...', "price='$0.01' is no amount"),
    ('@get("/x", price="1e3")\ndef f() -> str: ...', "is no amount"),
    ('@get("/x", price="0.00")\ndef f() -> str: ...', "write free=True"),
    ('@get("/x", price="1", free=True)\ndef f() -> str: ...', "it has one price"),
    ('@get("/x", quoted="1")\ndef f() -> str: ...', "quoted= needs quote="),
    ('@get("/x", price="1", quote=len)\ndef f() -> str: ...', 'quote= goes with quoted=".."'),
    ('@get("/x", price="1", chek=len)\ndef f() -> str: ...', "there is no chek=; write check="),
    ('@get("x", free=True)\ndef f() -> str: ...', 'a path starts with a slash: write "/x"'),
    ('@get("/x/", free=True)\ndef f() -> str: ...', 'write "/x"'),
    ('@get("/a{b}", free=True)\ndef f(b) -> str: ...', "a parameter is a whole segment"),
    ('@get("/{*a}/b", free=True)\ndef f(a) -> str: ...', "takes the rest of the path"),
    ('@get("/{a}", free=True)\ndef f() -> str: ...', "the path has {a}, and the function takes no `a`"),
    ('@get("/{a}", free=True)\ndef f(a: list[str]) -> str: ...', "`a` is a part of the path"),
    ('@get("/x", free=True)\ndef f(a: dict) -> str: ...', "a GET has none: write @post"),
    ('@post("/x", free=True)\ndef f(a: dict, b: bytes) -> str: ...', "one argument can be the body, not a and b"),
    ('@get("/x", free=True)\ndef f(*a) -> str: ...', "`*a` is no argument of an endpoint"),
    ('@get("/x", free=True)\ndef f(a: "Nothing") -> str: ...', "its hints name a type that its module does not have"),
    (
        'class C: ...\n@post("/x", free=True)\ndef f(a: C) -> str: ...',
        "the type of `a`: C is not a type that JSON can hold",
    ),
    ('@get("/x", free=True)\ndef f() -> object(): ...', "the type of `return`: <object"),
    (
        'def q(b): ...\n@get("/x", quoted="1", quote=q)\ndef f(a: int) -> str: ...',
        "quote=q takes `b`, which f does not",
    ),
    ('def q(r): ...\n@get("/x", quoted="1", quote=q)\ndef f(r: Receipt) -> str: ...', "it cannot take the receipt"),
    ('def q(r): ...\n@get("/x", quoted="1", quote=q)\ndef f(r: Request) -> str: ...', 'write headers=["x-tier"]'),
    ('async def c(): ...\n@get("/x", price="1", check=c)\ndef f() -> str: ...', "is a plain function"),
    ('@get("/x", free=True, headers="x-a")\ndef f() -> str: ...', 'write headers=["x-tier"]'),
    ('@get("/x", free=True, pass_={"seconds": 1, "requests": 1})\ndef f() -> str: ...', "this endpoint is free"),
    ('@get("/x", price="1", pass_={"seconds": 1})\ndef f() -> str: ...', "a pass is a time and a number of further"),
    (
        '@get("/x", price="1", pass_={"seconds": 0, "requests": 1})\ndef f() -> str: ...',
        "seconds of a pass is a whole number from 1 to 31622400",
    ),
    ('@get("/x", free=True, mime_type="png")\ndef f() -> str: ...', "is no media type"),
    ('@get("/x", free=True, summary="a" * 121)\ndef f() -> str: ...', "the summary has 121 characters"),
    ('@get("/x", free=True, examples=[{"query": {"a": "b"}}])\ndef f(a: int) -> str: ...', "does not fit: /a must be"),
    ('@get("/x", free=True)\nclass f: ...', "an endpoint is a function"),
    ("@get\ndef f() -> str: ...", 'write the path and the price: @get("/path", price="0.01")'),
)


class Mistakes(PluginTest):
    def test_each_mistake_says_what_to_write(self):
        for source, expected in MISTAKES:
            with self.subTest(source), self.assertRaises(DefinitionError) as caught:
                define(f"from coinslot import *\n{source}\n")
            self.assertIn(expected, str(caught.exception))

    def test_a_mistake_names_file_line_and_function(self):
        with self.assertRaises(DefinitionError) as caught:
            define('from coinslot import get\n\n\n@get("/x")\ndef hello(): ...\n', "shop.py")
        self.assertTrue(
            str(caught.exception).startswith("shop.py:4: hello (GET /x): what does it cost?"), caught.exception
        )

    def test_a_route_has_one_function(self):
        with self.assertRaises(DefinitionError) as caught:
            define(
                'from coinslot import get\n@get("/a/{x}", free=True)\ndef f(x) -> str: ...\n'
                '@get("/a/{y}", free=True)\ndef g(y) -> str: ...\n'
            )
        self.assertIn("f serves GET /a/{x} already", str(caught.exception))

    def test_a_model_of_pydantic_2_is_refused_by_name(self):
        with self.assertRaises(DefinitionError) as caught:
            define(
                "from coinslot import post\nclass M:\n    model_json_schema = None\n"
                '@post("/x", free=True)\ndef f(m: M) -> str: ...\n'
            )
        self.assertIn(
            "M is a model of pydantic 2, which has no build for WASI: write pydantic==1.10", str(caught.exception)
        )


class Manifest(PluginTest):
    def test_what_an_endpoint_declares(self):
        define('''
from __future__ import annotations
import dataclasses, enum
from typing import Annotated
from coinslot import *

class Kind(enum.Enum):
    A = "a"

@post("/orders/{id}", price="0.01 USDC", examples=[{"path": {"id": 7}, "body": {"text": "a"}}])
def order(id: int, order: Order, pages: list[int] = [], kind: Kind = Kind.A, limit: int | None = None) -> Sold:
    """Sells an order

    With its text,
    in two lines.
    """

@dataclasses.dataclass
class Order:
    text: Annotated[str, Length(1), "what to print"]

@dataclasses.dataclass
class Sold:
    order: Order
    total: int = 0
''')
        (found,) = testing.manifest()
        self.assertEqual((found["method"], found["path"], found["price"]), ("POST", "/orders/{id}", "0.01 USDC"))
        self.assertEqual((found["summary"], found["description"]), ("Sells an order", "With its text,\nin two lines."))
        self.assertEqual(found["mime_type"], "application/json")
        order = {
            "type": "object",
            "properties": {"text": {"type": "string", "minLength": 1, "description": "what to print"}},
            "required": ["text"],
            "additionalProperties": False,
        }
        self.assertEqual(
            found["input_schema"],
            {
                "type": "object",
                "properties": {
                    "path": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
                    "query": {
                        "type": "object",
                        "properties": {
                            "pages": {"type": "array", "items": {"type": "integer"}, "default": []},
                            "kind": {"type": "string", "enum": ["a"], "default": "a"},
                            "limit": {"type": "integer"},
                        },
                    },
                    "body": order,
                },
                "required": ["path", "body"],
                "examples": [{"path": {"id": 7}, "body": {"text": "a"}}],
            },
        )
        self.assertEqual(
            found["output_schema"],
            {
                "type": "object",
                "properties": {"order": order, "total": {"type": "integer"}},
                "required": ["order", "total"],
                "additionalProperties": False,
            },
        )

    def test_media_types_come_from_the_return_type(self):
        define("""
from coinslot import *
@get("/a", free=True)
def a() -> str: ...
@get("/b", free=True)
def b() -> bytes: ...
@get("/c", free=True)
def c() -> list[int]: ...
@get("/d", free=True)
def d():
    yield 1
@get("/e", free=True, mime_type="image/png")
def e() -> bytes: ...
@get("/f", free=True)
def f() -> Html: ...
@get("/g", free=True)
async def g() -> str | None: ...
@get("/h", free=True)
def h() -> Response: ...
""")
        self.assertEqual(
            [found["mime_type"] for found in testing.manifest()],
            [
                "text/plain; charset=utf-8",
                "application/octet-stream",
                "application/json",
                "text/event-stream",
                "image/png",
                "text/html; charset=utf-8",
                "text/plain; charset=utf-8",
                "application/octet-stream",
            ],
        )

    def test_the_summary_is_the_option_the_docstring_or_the_name(self):
        define(
            'from coinslot import get\n@get("/a", free=True)\ndef say_it() -> str: ...\n'
            '@get("/b", free=True, summary="S", description="D")\ndef b() -> str:\n    """Doc"""\n'
        )
        self.assertEqual([(e["summary"], e["description"]) for e in testing.manifest()], [("say it", ""), ("S", "D")])


if __name__ == "__main__":
    unittest.main()
