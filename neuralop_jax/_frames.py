"""Which frames of a field that varies in time are meant."""

import re

from neuralop_jax.errors import ConfigError

_NAMED = {"all": slice(None), "first": slice(0, 1), "last": slice(-1, None)}
_RANGE = re.compile(r"(-?\d*):(-?\d*)(?::(\d+))?")


def frames(text: str, *, name: str = "frames") -> slice:
    """`"all"`, `"first"`, `"last"` or a range of frames `"START:STOP:STEP"` as in Python, as a slice.

    **Raises:** `ConfigError` for another text.
    """
    if text in _NAMED:
        return _NAMED[text]
    match = _RANGE.fullmatch(text)
    if match is None or "-" in match.groups() or match[3] == "0":
        raise ConfigError(f"{name} must be 'all', 'first', 'last' or a range of frames such as '0:10' or '2::2', got {text!r}.")
    return slice(*(int(part) if part else None for part in match.groups()))
