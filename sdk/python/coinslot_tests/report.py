"""Writes the reports of a run of tests, a line of JSON each."""

import json
import os
import time


class Reports:
    """The reports of one run, on a file descriptor of their own."""

    def __init__(self, descriptor: int):
        self.out = open(descriptor, "w", encoding="utf-8", errors="replace")
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.began = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.out.close()

    def write(self, event: str, **fields) -> None:
        present = {name: value for name, value in fields.items() if value is not None}
        self.out.write(json.dumps({"event": event, **present}) + "\n")
        self.out.flush()

    def start(self, tests: int) -> None:
        self.write("start", tests=tests)

    def begin(self, name: str, at: str | None = None) -> None:
        self.began = time.monotonic()
        self.write("begin", name=name, at=at)

    def end_of_test(self, name: str, outcome: str, at=None, message=None, frames=(), output="") -> None:
        self.counts[outcome] += 1
        error = None if message is None else {"message": message, "frames": list(frames)}
        spent = None if outcome == "skipped" else round((time.monotonic() - self.began) * 1000, 2)
        self.write("test", name=name, outcome=outcome, milliseconds=spent, at=at, error=error, output=output)

    def end(self) -> None:
        self.write("end", **self.counts)


def short(path: str, root: str) -> str:
    """A path as messages have it: relative to the plugin's folder, if it is in there."""
    relative = os.path.relpath(path, root)
    return path if relative.startswith("..") else relative
