"""Makes the schemas of an endpoint's input and output, as the manifest has them."""

import contextlib
import json

from ._arguments import EMPTY, Argument
from ._json import to_plain
from ._nodes import Context, Unsupported

_LARGEST = 64 * 1024


def input_schema(arguments: list[Argument], examples) -> str | None:
    """The schema of `path`, `query` and `body`; None if the endpoint takes none of them. Raises Unsupported."""
    described = [argument for argument in arguments if argument.source in ("path", "query", "body", "text")]
    if not described:
        return None
    context = Context([argument.node for argument in described])
    properties, required = {}, []
    for source in ("path", "query"):
        mine = [argument for argument in described if argument.source == source]
        if mine:
            properties[source] = _parameters(mine, context)
            required += [source] if "required" in properties[source] else []
    for argument in described:
        if argument.source in ("body", "text"):
            # The host reads a body as JSON unless the schema names another media type.
            media = {"contentMediaType": "text/plain"} if argument.source == "text" else {}
            properties["body"] = argument.node.schema(context) | media
            required += ["body"] if argument.is_required else []
    schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return _dumped(schema | ({"examples": list(examples)} if examples else {}), context, "input")


def output_schema(node) -> str | None:
    """The schema of an answer's body. Raises Unsupported."""
    context = Context([node], output=True)
    return _dumped(node.schema(context), context, "output")


def _parameters(arguments: list[Argument], context: Context) -> dict:
    properties = {}
    for argument in arguments:
        schema = argument.node.text_schema(context)
        if argument.default is not EMPTY and argument.default is not None:
            with contextlib.suppress(TypeError):
                schema = schema | {"default": to_plain(argument.default)}
        properties[argument.name] = schema
    required = [argument.name for argument in arguments if argument.is_required]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _dumped(schema: dict, context: Context, which: str) -> str | None:
    if not schema:
        return None
    schema = schema | ({"$defs": context.defs} if context.defs else {})
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Unsupported(f"the {which} schema is no JSON: {error}") from None
    size = len(text.encode())
    if size > _LARGEST:
        raise Unsupported(f"the {which} schema has {size} bytes, and at most {_LARGEST} fit")
    return text
