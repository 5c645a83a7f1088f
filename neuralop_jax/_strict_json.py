"""Numbers that JSON does not know, NaN and the infinities: in files they are the texts `"nan"`, `"inf"` and `"-inf"`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

_NAMES = ("nan", "inf", "-inf")


def strict(tree: Any) -> Any:
    """A tree of JSON types with the names of such numbers in their places."""
    return _replaced(tree, lambda leaf: repr(leaf) if isinstance(leaf, float) and not math.isfinite(leaf) else leaf)


def numbers(tree: Any) -> Any:
    """The tree that `strict` was given; also of files of older versions, which hold the numbers as Python writes them."""
    return _replaced(tree, lambda leaf: float(leaf) if isinstance(leaf, str) and leaf in _NAMES else leaf)


def _replaced(tree: Any, replace: Callable[[Any], Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _replaced(value, replace) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_replaced(value, replace) for value in tree]
    return replace(tree)
