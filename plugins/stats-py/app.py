"""The plugin: its route and price (Manifest), refusals before payment (Quote), and answers (IncomingHandler).
The host does everything about money."""

import json
from math import isfinite

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports.manifest import Endpoint, PluginInfo, Price_Exact
from wit_world.exports.quote import Quotation, QuotedPrice_Amount, Refusal, Request
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

from statistics_of import LARGEST, MAX_VALUES, QUANTILES, describe

PRICE = "0.002"
MAX_BODY = 512 * 1024
READ = 64 * 1024
WRITE = 4096  # the most that one `blocking-write-and-flush` takes

NUMBER = {"type": "number"}
MAYBE = {"type": ["number", "null"]}
INPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "body": {
            "type": "object",
            "required": ["values"],
            "properties": {
                "values": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_VALUES,
                    "items": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
                }
            },
        }
    },
}
OUTPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        **{name: NUMBER for name in ("sum", "min", "max", "mean", "median", "iqr")},
        **{name: MAYBE for name in ("variance", "stddev", "skewness")},
        "quantiles": {
            "type": "object",
            "properties": {f"p{round(q * 100):02d}": NUMBER for q in QUANTILES},
        },
    },
}


class BadInput(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message, extensions=[])


def values_of(body: bytes) -> list[float]:
    if len(body) > MAX_BODY:
        raise BadInput(413, "body_too_large", f"Send at most {MAX_BODY} bytes.")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput(400, "not_json", 'Send JSON such as {"values": [1, 2.5, 4]}.') from None
    values = document.get("values") if isinstance(document, dict) else None
    if not isinstance(values, list) or not values:
        raise BadInput(400, "missing_values", 'Send JSON with at least one number: {"values": [1, 2.5, 4]}.')
    if len(values) > MAX_VALUES:
        raise BadInput(413, "too_many_values", f"Send at most {MAX_VALUES} values.")
    for place, value in enumerate(values):
        # bool is an int in Python, and JSON's true is no number.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadInput(422, "not_a_number", f"values[{place}] is not a number.")
        if not -LARGEST <= value <= LARGEST or not isfinite(value):
            raise BadInput(422, "out_of_range", f"values[{place}] is not between -1e150 and 1e150.")
    return [float(value) for value in values]


class Manifest(exports.Manifest):
    def describe(self) -> PluginInfo:
        endpoint = Endpoint(
            method="POST",
            path="/py/stats",
            price=Price_Exact(PRICE),
            summary="Descriptive statistics of a list of numbers",
            description="Count, sum, range, mean, median, sample variance and standard deviation, skewness, "
            "interquartile range and five quantiles (linear interpolation, as in R and NumPy). "
            "Sums are exact to the last bit.",
            mime_type="application/json",
            input_schema=json.dumps(INPUT_SCHEMA),
            output_schema=json.dumps(OUTPUT_SCHEMA),
            quote_headers=[],
            extensions=[],
        )
        return PluginInfo(name="stats-py", version="0.1.0", endpoints=[endpoint], extensions=[])


class Quote(exports.Quote):
    def quote(self, request: Request) -> Quotation:
        try:
            values_of(request.body)
        except BadInput as bad:
            raise Err(bad.refusal) from None
        return Quotation(QuotedPrice_Amount(PRICE), extensions=[])


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        try:
            status, answer = 200, describe(values_of(read(request)))
        except BadInput as bad:
            # A status of 400 or more costs the caller nothing.
            refusal = bad.refusal
            status, answer = refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}
        respond(response_out, status, json.dumps(answer).encode())


def read(request: IncomingRequest) -> bytes:
    """The whole body, or as much of it as `values_of` needs to refuse it."""
    body = bytearray()
    with request.consume() as incoming, incoming.stream() as stream:
        while len(body) <= MAX_BODY:
            try:
                body += stream.blocking_read(READ)
            except Err as end:
                if isinstance(end.value, StreamError_Closed):
                    break
                raise
    return bytes(body)


def respond(response_out: ResponseOutparam, status: int, body: bytes) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", b"application/json")]))
    response.set_status_code(status)
    outgoing = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with outgoing.write() as stream:
        for start in range(0, len(body), WRITE):
            stream.blocking_write_and_flush(body[start : start + WRITE])
    OutgoingBody.finish(outgoing, None)
