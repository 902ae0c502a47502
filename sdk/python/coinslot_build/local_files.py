"""Finds the files of this machine that requirements lead to."""

import hashlib
import os
import re

# Folders whose content is no source.
SKIPPED = ("__pycache__", "build", "dist", "node_modules", "target", "venv")
ARCHIVES = (".whl", ".gz", ".zip")


def local_files(lines, folder: str) -> list[str]:
    """The local files that lines of requirements lead to, each with its digest: the same text means other packages in
    another folder, and after a change of a file. Empty if the text alone says what is meant."""
    return _Search(folder).of_lines(lines, folder)


class _Search:
    def __init__(self, root: str):
        self.root, self.lists = root, set()

    def of_lines(self, lines, folder: str) -> list[str]:
        return [found for line in lines for found in self.of_line(os.path.expandvars(line).strip(), folder)]

    def of_line(self, line: str, folder: str) -> list[str]:
        found = []
        is_option = line.startswith("-")
        for word in {line, *re.split(r"[\s=@]+", line)}:
            path = _path(word)
            if not (is_option or "/" in path or "\\" in path or path.endswith(ARCHIVES)):
                continue
            # pip takes some paths from the place of their list, and others from the current folder.
            for place in {os.path.join(folder, path), os.path.join(self.root, path)} if path else ():
                found += _digests(place)
                if is_option and os.path.isfile(place):
                    found += self.of_list(place)
        return sorted(found)

    def of_list(self, path: str) -> list[str]:
        """What a further list of requirements or constraints leads to."""
        path = os.path.realpath(path)
        if path in self.lists or path.endswith(ARCHIVES):
            return []
        self.lists.add(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            return self.of_lines(file.read().splitlines(), os.path.dirname(path))


def _path(word: str) -> str:
    """The path that a word may be, without the extras of a package."""
    return re.sub(r"\[[^]/]*\]$", "", re.sub(r"^file:(//(localhost)?)?", "", word.strip("\"'")))


def _digests(path: str) -> list[str]:
    if os.path.isfile(path):
        return [f"{path} {_sha256(path)}"]
    found = []
    for parent, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        for name in names:
            place = os.path.join(parent, name)
            if os.path.isfile(place):
                found.append(f"{place} {_sha256(place)}")
    return found


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
