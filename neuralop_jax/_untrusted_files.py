"""Files that nobody vouches for: ordinary ones only, read within limits, and JSON that is not nested without end."""

import json
import os
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 2**26
"""Bytes of a file of text, such as a configuration, that are read at most."""
_DEEPEST = 64
"""Levels of tables and lists in JSON. The recursive code that handles them later ends at about a thousand."""


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file of at most `most` bytes.

    **Raises:** `OSError`, with a reason in `strerror`, for what is missing, cannot be read, is too large, or is no ordinary
    file: a directory, a pipe or a device, which may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for a writer
    try:
        refuse_special(os.fstat(descriptor), path)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(0, f"it has more than {most:,} bytes", str(path))
    return content


def refuse_special(status: os.stat_result, path: Path) -> None:
    """Raises `OSError`, with a reason in `strerror`, unless `status` is that of an ordinary file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(0, "it is a directory, wanted a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "it is a pipe or a device, wanted an ordinary file", str(path))


def parse_json(content: bytes | str) -> Any:
    """What JSON text says; `ValueError` if it is no JSON, not UTF-8, or nested more than 64 levels deep."""
    try:
        tree = json.loads(content)
    except RecursionError:
        raise ValueError(f"nested more than {_DEEPEST} levels deep") from None
    level, depth = [tree], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
    return tree


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
