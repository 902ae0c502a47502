"""Hints give schemas, and read what fits them."""

import dataclasses
import datetime
import decimal
import enum
import typing
import time
import unittest
import uuid
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import support  # noqa: F401

from coinslot import Length, Pattern, Range
from coinslot._compile import Compiler
from coinslot._errors import Invalid
from coinslot._json import dump_json
from coinslot._nodes import Context, Unsupported


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclasses.dataclass
class Point:
    """A place on a map."""

    x: float
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tree:
    value: int
    left: Optional["Tree"] = None
    right: Optional["Tree"] = None


@dataclasses.dataclass
class Even:
    n: int

    def __post_init__(self):
        if self.n % 2:
            raise ValueError("must be even")


@dataclasses.dataclass
class Line:
    start: Point
    end: Point


class Movie(TypedDict):
    title: str
    year: int


class MaybeMovie(Movie, total=False):
    stars: Annotated[int, Range(1, 5)]


class Pair(NamedTuple):
    name: str
    count: int = 1


T = typing.TypeVar("T")


@dataclasses.dataclass
class Page(typing.Generic[T]):
    items: list[T]
    next: int | None = None


@dataclasses.dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclasses.dataclass
class Dog:
    kind: Literal["dog"]
    tricks: list[str]


def node(hint):
    return Compiler().compile(hint)


def schema(hint, output=False):
    compiled = node(hint)
    context = Context([compiled], output)
    out = compiled.schema(context)
    return out | ({"$defs": context.defs} if context.defs else {})


class Reading(unittest.TestCase):
    def reads(self, hint, value, expected):
        self.assertEqual(node(hint).read(value), expected)

    def refuses(self, hint, value, reason, pointer="", rule=None):
        with self.assertRaises(Invalid) as caught:
            node(hint).read(value)
        problem = caught.exception
        self.assertEqual((problem.pointer(), problem.reason, rule or problem.rule), (pointer, reason, problem.rule))

    def test_scalars(self):
        for hint, value in ((str, "a"), (int, -3), (float, 1.5), (bool, True), (None, None), (Any, [1])):
            self.reads(hint, value, value)
        self.reads(int, 3.0, 3)
        self.assertIs(type(node(float).read(3)), float)
        for hint, value, reason in (
            (str, 1, "must be text"),
            (int, 1.5, "must be a whole number"),
            (int, True, "must be a whole number"),
            (int, "1", "must be a whole number"),
            (float, "x", "must be a number"),
            (float, False, "must be a number"),
            (bool, 1, "must be true or false"),
            (None, 0, "must be null"),
            (float, 10**400, "must be a number that a double can hold"),
        ):
            self.refuses(hint, value, reason)

    def test_text_of_paths_and_queries(self):
        cases = (
            (int, "-12", -12),
            (float, "1e3", 1000.0),
            (bool, "true", True),
            (str, "x", "x"),
            (Size, "2", 2),
            (Color, "red", "red"),
            (Literal[1, "a", True], "true", True),
            (Union[int, str], "7", 7),
            (Union[int, str], "seven", "seven"),
            (Optional[int], "5", 5),
        )
        for hint, text, expected in cases:
            with self.subTest(hint=hint):
                self.assertEqual(node(hint).text(text), expected)
        for hint, text in (
            (int, "1.0"),
            (int, " 1"),
            (int, "1_0"),
            (int, "٣"),
            (float, "nan"),
            (float, "1e999"),
            (bool, "1"),
            (bool, "True"),
            (Color, "RED"),
            (Optional[int], ""),
        ):
            with self.subTest(text=text), self.assertRaises(Invalid):
                node(hint).text(text)

    def test_containers(self):
        self.reads(list[int], [1, 2], [1, 2])
        self.reads(set[str], ["a", "b"], {"a", "b"})
        self.reads(tuple[int, ...], [1, 2], (1, 2))
        self.reads(tuple[int, str], [1, "a"], (1, "a"))
        self.reads(dict[str, int], {"a": 1}, {"a": 1})
        self.reads(dict[Color, int], {"red": 1}, {Color.RED: 1})
        self.refuses(list[int], {}, "must be a list")
        self.refuses(list[int], [1, "x"], "must be a whole number", "/1")
        self.refuses(set[int], [1, 1], "must not have an item twice")
        self.refuses(tuple[int, str], [1], "must be a list of 2")
        self.refuses(dict[str, list[int]], {"a/b~": [0, "x"]}, "must be a whole number", "/a~1b~0/1")

    def test_choices(self):
        self.reads(Color, "blue", Color.BLUE)
        self.reads(Size, 2.0, Size.LARGE)
        self.reads(Literal["a", 1], 1, 1)
        self.refuses(Literal["a", 1], True, 'must be "a" or 1')
        self.refuses(Color, "green", 'must be "red" or "blue"')
        self.refuses(Color, ["red"], 'must be "red" or "blue"')

    def test_formats(self):
        moment = datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.timezone.utc)
        self.reads(datetime.datetime, "2026-01-31T12:30:00Z", moment)
        self.reads(datetime.datetime, "2026-01-31T13:30:00.0+01:00", moment)
        self.reads(datetime.date, "2026-01-31", datetime.date(2026, 1, 31))
        self.reads(uuid.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7))
        self.reads(decimal.Decimal, "1.50", decimal.Decimal("1.50"))
        self.reads(bytes, "aGk=", b"hi")
        self.refuses(datetime.date, "2026-02-30", "must be a date such as 2026-01-31")
        for hint, value in (
            (datetime.datetime, "2026-01-31T12:30:00"),
            (datetime.date, "20260131"),
            (uuid.UUID, "7"),
            (decimal.Decimal, "1e5"),
            (decimal.Decimal, 1),
            (bytes, "a"),
        ):
            with self.assertRaises(Invalid):
                node(hint).read(value)

    def test_dataclasses(self):
        self.reads(Point, {"x": 1, "tags": ["a"]}, Point(1.0, 0.0, ["a"]))
        self.reads(Line, {"start": {"x": 1}, "end": {"x": 2}}, Line(Point(1), Point(2)))
        self.refuses(Point, [], "must be an object")
        self.refuses(Point, {}, "is missing", "/x", "required")
        self.refuses(Line, {"start": {"x": 1}, "end": {"x": "2"}}, "must be a number", "/end/x")
        self.refuses(Point, {"x": 1, "yy": 2}, 'is not known: did you mean "y"?', "/yy", "additionalProperties")
        self.refuses(Even, {"n": 3}, "must be even")
        self.reads(Page[Point], {"items": [{"x": 1}]}, Page([Point(1)]))
        self.refuses(Page[int], {"items": ["x"]}, "must be a whole number", "/items/0")
        self.reads(Annotated[Even, {"additionalProperties": True}], {"n": 2, "more": 1}, Even(2))

    def test_recursive_types(self):
        self.reads(Tree, {"value": 1, "left": {"value": 2, "right": {"value": 3}}}, Tree(1, Tree(2, None, Tree(3))))
        self.refuses(
            Tree,
            {"value": 1, "left": {"value": 2, "right": {"value": "3"}}},
            "must be a whole number",
            "/left/right/value",
        )

    def test_typed_dicts_and_named_tuples(self):
        self.reads(Movie, {"title": "M", "year": 1931}, {"title": "M", "year": 1931})
        self.reads(MaybeMovie, {"title": "M", "year": 1931}, {"title": "M", "year": 1931})
        self.refuses(MaybeMovie, {"title": "M", "year": 1931, "stars": 6}, "must be at most 5", "/stars")
        self.refuses(Movie, {"title": "M"}, "is missing", "/year", "required")
        self.reads(Pair, ["a"], Pair("a", 1))
        self.refuses(Pair, ["a", "b"], "must be a whole number", "/1")

    def test_a_union_tells_the_problem_of_the_member_that_fits_best(self):
        self.reads(Union[Cat, Dog], {"kind": "dog", "tricks": []}, Dog("dog", []))
        self.refuses(Union[Cat, Dog], {"kind": "dog", "tricks": [1]}, "must be text", "/tricks/0")
        self.refuses(Union[Cat, Dog], {"kind": "dog"}, "is missing", "/tricks")
        self.refuses(Union[Cat, Dog], {"kind": "cow"}, 'must be "cat" or "dog"', "/kind")
        self.refuses(Union[Cat, Dog], {}, "is missing", "/kind")
        self.refuses(Union[int, bool], "x", "must be a whole number, or true or false")
        self.reads(Optional[int], None, None)

    def test_items_are_compared_in_time_that_grows_with_their_number(self):
        """Dictionaries were compared each with all: 6000 took seconds, and callers choose the number."""
        hint = Annotated[list[dict], {"uniqueItems": True}]
        items = [{"n": i, "list": [i, {"a": None}]} for i in range(20_000)]
        started = time.monotonic()
        self.reads(hint, items, items)
        self.refuses(hint, [*items, {"list": [7, {"a": None}], "n": 7}], "must not have an item twice")
        self.assertLess(time.monotonic() - started, 5)
        some = [{"a": 1}, {"a": True}, {"a": [1]}, {"a": "1"}, {"a": None}, {}]
        self.reads(hint, some, some)

    def test_constraints(self):
        for hint, good, bad, reason in (
            (Annotated[int, Range(1, 5)], 5, 6, "must be at most 5"),
            (Annotated[float, Range(0)], 0, -0.1, "must be at least 0"),
            (Annotated[float, {"exclusiveMinimum": 0}], 0.1, 0, "must be more than 0"),
            (Annotated[int, {"multipleOf": 3}], 9, 8, "must be a multiple of 3"),
            (Annotated[float, {"multipleOf": 0.1}], 0.3, 0.35, "must be a multiple of 0.1"),
            (Annotated[int, {"multipleOf": 7}], 7 * 10**400, 7 * 10**400 + 1, "must be a multiple of 7"),
            (Annotated[int, {"multipleOf": 1.5}], 3 * 10**400, 3 * 10**400 + 1, "must be a multiple of 1.5"),
            (Annotated[float, {"multipleOf": 1e-10}], 1e308, float("inf"), "must be a multiple of 1e-10"),
            (Annotated[float, {"multipleOf": 0.3}], 3e307, 1e-7, "must be a multiple of 0.3"),
            (Annotated[str, Length(1, 3)], "abc", "abcd", "must have at most 3 characters"),
            (Annotated[list[int], Length(1)], [1], [], "must have at least 1 item"),
            (Annotated[list[int], {"uniqueItems": True}], [1, 2], [1, 1], "must not have an item twice"),
            (Annotated[dict[str, int], Length(0, 1)], {"a": 1}, {"a": 1, "b": 1}, "must have at most 1 key"),
            (Annotated[str, Pattern("^[a-z]+$")], "abc", "aBc", "must match ^[a-z]+$"),
            (Annotated[str, {"enum": ["a", "b"]}], "a", "c", "must be one of 'a', 'b'"),
        ):
            with self.subTest(hint=hint):
                self.reads(hint, good, good)
                self.refuses(hint, bad, reason)

    def test_values_become_json(self):
        moment = datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)
        for value, expected in (
            (Point(1, 2, ["a"]), '{"x":1,"y":2,"tags":["a"]}'),
            (Line(Point(1), Point(2)), None),
            (Color.RED, '"red"'),
            ({"when": moment, "size": Size.SMALL}, '{"when":"2026-01-31T00:00:00+00:00","size":1}'),
            (uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
            (decimal.Decimal("1E+2"), '"100"'),
            ({"b", "a"}, '["a","b"]'),
            (Pair("a", 2), '["a",2]'),
            (b"hi", '"aGk="'),
            ("é", '"é"'),
        ):
            text = dump_json(value).decode()
            self.assertEqual(text, expected or text)
        for value in (float("nan"), object(), {1j: 2}):
            with self.assertRaises((TypeError, ValueError)):
                dump_json(value)


class Schemas(unittest.TestCase):
    def test_simple_hints(self):
        for hint, expected in (
            (str, {"type": "string"}),
            (Optional[int], {"type": ["integer", "null"]}),
            (Any, {}),
            (list[float], {"type": "array", "items": {"type": "number"}}),
            (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
            (
                tuple[int, str],
                {
                    "type": "array",
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
            ),
            (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
            (Literal["a", 1], {"enum": ["a", 1]}),
            (Color, {"type": "string", "enum": ["red", "blue"]}),
            (datetime.date, {"type": "string", "format": "date"}),
            (
                Annotated[int, Range(1, 5), "how many"],
                {"type": "integer", "minimum": 1, "maximum": 5, "description": "how many"},
            ),
            (
                Annotated[str, Length(1, 2), Pattern("x")],
                {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "x"},
            ),
            (
                Annotated[list[int], Length(1, 2)],
                {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            ),
        ):
            with self.subTest(hint=hint):
                self.assertEqual(schema(hint), expected)

    def test_dataclasses_stand_in_place_and_repeated_ones_by_reference(self):
        point = {
            "type": "object",
            "description": "A place on a map.",
            "properties": {
                "x": {"type": "number"},
                "y": {"type": "number", "default": 0.0},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["x"],
            "additionalProperties": False,
        }
        self.assertEqual(schema(Point), point)
        self.assertEqual(
            schema(Line),
            {
                "type": "object",
                "properties": {"start": {"$ref": "#/$defs/Point"}, "end": {"$ref": "#/$defs/Point"}},
                "required": ["start", "end"],
                "additionalProperties": False,
                "$defs": {"Point": point},
            },
        )

    def test_recursion_is_by_reference(self):
        found = schema(Tree)
        self.assertEqual(found["$ref"], "#/$defs/Tree")
        self.assertEqual(found["$defs"]["Tree"]["properties"]["left"]["anyOf"][0], {"$ref": "#/$defs/Tree"})

    def test_an_answer_always_has_the_fields_of_a_dataclass(self):
        self.assertEqual(schema(Point, output=True)["required"], ["x", "y", "tags"])
        self.assertEqual(schema(MaybeMovie, output=True)["required"], ["title", "year"])

    def test_a_query_has_no_null(self):
        compiled = node(Optional[Annotated[int, Range(1)]])
        self.assertEqual(compiled.text_schema(Context([compiled])), {"type": "integer", "minimum": 1})

    def test_hints_that_json_cannot_hold(self):
        class Thing:
            pass

        for hint, part in (
            (Thing, "make it a dataclass"),
            (dict[int, str], "the keys of a JSON object are text"),
            (Annotated[str, Range(1)], "for the length of text"),
            (Annotated[int, Length(1)], "for a number write Range"),
            (Annotated[int, {"minimun": 1}], "write 'minimum'"),
            (Annotated[int, {"minLength": 1}], "is for a JSON string"),
            (Annotated[str, Pattern("(")], "is no regular expression"),
            (typing.Callable, "JSON"),
        ):
            with self.subTest(hint=hint), self.assertRaises(Unsupported) as caught:
                node(hint)
            self.assertIn(part, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
