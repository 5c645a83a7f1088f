"""JSON from files that nobody vouches for, compared with the types that it should have before anything is made of it."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from neuralop_jax._checks import shown
from neuralop_jax._config_values import Bounds, in_words, wanted

Count = Annotated[int, Bounds(at_least=0.0)]
"""An integer that is not negative."""
Finite = Annotated[float, Bounds(above=float("-inf"), below=float("inf"))]
"""A number that is neither NaN nor infinite."""


def check_json(schema: Any, value: Any, name: str) -> None:
    """Checks a JSON value.

    **Arguments:**

    - `schema`: `int`, `float`, `bool`, `str`, `None`, `Any`, `Literal`, a union, `Sequence[T]`, `tuple[T, ...]`, `tuple[S, T]`,
        `dict[str, T]`, a `TypedDict`, which may be joined by unknown keys, a dataclass, which may not, or one of them `Annotated`
        with `Bounds`. A `float` may be NaN or infinite unless it is bounded.
    - `value`: what `parse_json` gave.
    - `name`: what it is called in the file.

    **Raises:** `ValueError`: what is where, and what is wanted there.
    """
    kind, bounds = schema, ()
    if typing.get_origin(schema) is typing.NotRequired:
        kind = typing.get_args(schema)[0]
    if typing.get_origin(kind) is Annotated:
        kind, bounds = typing.get_args(kind)[0], [each for each in kind.__metadata__ if isinstance(each, Bounds)]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    refusal = ValueError(f"{name} must be {' '.join([wanted(kind), *map(str, bounds)])}, got {in_words(value)}")
    if kind is Any:
        return
    if origin in (typing.Union, types.UnionType):
        _check_any(inner, value, name, refusal)
    elif typing.is_typeddict(kind) or dataclasses.is_dataclass(kind):
        _check_table(kind, value, name, refusal)
    elif origin is dict:
        if not isinstance(value, Mapping):
            raise refusal
        for key, each in value.items():
            check_json(inner[1], each, f"{name}[{shown(key)}]")
    elif origin in (tuple, Sequence):
        repeated = origin is Sequence or inner[-1] is Ellipsis
        if not isinstance(value, list | tuple) or not (repeated or len(value) == len(inner)):
            raise refusal
        for index, each in enumerate(value):
            check_json(inner[0] if repeated else inner[index], each, f"{name}[{index}]")
    elif origin is typing.Literal:
        if value not in inner:
            raise refusal
    elif not _is_a(value, kind) or not all(each.hold(value) for each in bounds):
        raise refusal


def _check_any(kinds: Sequence[Any], value: Any, name: str, refusal: ValueError) -> None:
    """Checks a value of a union; of a table, or a list, it is told what is wrong inside."""
    inside = refusal
    for kind in kinds:
        try:
            return check_json(kind, value, name)
        except ValueError as error:
            inside = inside if str(error).startswith(f"{name} must ") else error
    raise inside


def _check_table(kind: Any, value: Any, name: str, refusal: ValueError) -> None:
    if not isinstance(value, Mapping):
        raise refusal
    hints = typing.get_type_hints(kind, include_extras=True)
    if typing.is_typeddict(kind):
        needed = kind.__required_keys__
    else:
        needed = {each.name for each in dataclasses.fields(kind) if _has_no_default(each)}
        if unknown := value.keys() - hints.keys():
            raise ValueError(f"{name} has an entry {shown(min(unknown))}, wanted none but {', '.join(hints)}")
    for key, hint in hints.items():
        if key in value:
            check_json(hint, value[key], f"{name}.{key}")
        elif key in needed:
            raise ValueError(f"{name} has no entry {key!r}")


def _has_no_default(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (None, types.NoneType):
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
