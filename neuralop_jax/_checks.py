"""Wording shared by argument checks: values that are shown, the nearest known name, shapes and counts in words."""

import difflib
import reprlib
from collections.abc import Iterable

_LONGEST_VALUE = 120
"""Characters of a value that a message repeats."""

_short = reprlib.Repr()
_short.maxstring = _short.maxlong = _short.maxother = _LONGEST_VALUE
_short.maxlist = _short.maxtuple = _short.maxdict = 20


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
    raise error(f"{name} must be one of {listed}, got {shown(value)}.{hint}")


def shown(value: object) -> str:
    """A value as a message may repeat it, whoever it is from: on one line, without control characters, and not long."""
    try:
        return shortened(_short.repr(value), _LONGEST_VALUE)
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__} that holds a very long integer"


def shown_path(path: object) -> str:
    """A path as a message may repeat it."""
    return shortened(str(path), 300)


def reason(error: Exception) -> str:
    """What an error says, on one line that is not long; what the system says without number and path."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shortened(" ".join(said.split()), 200) or type(error).__name__


def shortened(text: str, longest: int) -> str:
    """`text`, or its beginning and its end if it is longer."""
    if len(text) <= longest:
        return text
    return f"{text[: longest * 2 // 3]} … {text[len(text) - longest // 3 :]}"


def printable(text: object) -> str:
    """`text` on one line, with control characters (which steer a terminal) replaced."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(text))
