"""Finds what a plugin declares or imports and no host serves: prices that are too fine, and HTTP clients that open
sockets."""

import ast

# The decimals of USDC and of the other tokens that hosts know by name.
DECIMALS = 6

# HTTP clients, each with what to write instead.
CLIENTS = {
    name: f"{name} opens sockets, and a plugin has none: write `from coinslot import fetch` and `fetch(url).json()`, or "
    "fetch_async in an async endpoint; the operator allows the origin"
    for name in ("requests", "httpx", "urllib3", "aiohttp")
}


def is_too_fine(price) -> bool:
    """True for an amount in US dollars with more decimals than a token of theirs has. Zeros at the end do not count."""
    if not isinstance(price, str):
        return False
    digits, _, symbol = price.partition(" ")
    return symbol.upper() in ("", "USD", "USDC") and len(digits.partition(".")[2].rstrip("0")) > DECIMALS


def clients(tree) -> list[tuple[str, int]]:
    """The HTTP clients that a module imports, each with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        found += [(name.partition(".")[0], node.lineno) for name in names if name.partition(".")[0] in CLIENTS]
    return found
