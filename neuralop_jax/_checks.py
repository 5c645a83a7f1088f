"""Wording shared by argument checks: the nearest known name, shapes and counts in words."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'width'?` if a known name is close to `name`, else the empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def one_of(name: str, value: object, allowed: Iterable[object], error: type[Exception]) -> None:
    """Raises `error` unless `value` is one of `allowed`, naming the nearest allowed string."""
    allowed = list(allowed)
    if value in allowed:
        return
    hint = did_you_mean(value, [a for a in allowed if isinstance(a, str)]) if isinstance(value, str) else ""
    listed = ", ".join(repr(a) for a in allowed)
    raise error(f"{name} must be one of {listed}, got {value!r}.{hint}")
