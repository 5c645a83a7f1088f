"""One value of a configuration: what its annotation allows, how text becomes it, and the sentence that refuses it."""

import contextlib
import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neuralop_jax._checks import did_you_mean, shown
from neuralop_jax.errors import ConfigError

_LARGEST = (2 - 2**-23) * 2.0**127
_SMALLEST = 2.0**-126
"""The ends of single precision: processors take what is smaller for 0."""
_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string", types.NoneType: "null"}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The interval a number must lie in, as metadata of its annotation: `Annotated[float, Bounds(above=0.0)]`."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        parts = ((">", self.above), (">=", self.at_least), ("<", self.below))
        return " and ".join(f"{sign} {limit:g}" for sign, limit in parts if limit is not None)

    def hold(self, value: int | float) -> bool:
        """Whether `value` lies inside."""
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
        )


@dataclasses.dataclass(frozen=True)
class NotEmpty:
    """Metadata of a string or a tuple that must hold something."""


@dataclasses.dataclass(frozen=True)
class Instead:
    """What to do instead of giving a value that a `Literal` does not have, as metadata of its annotation."""

    values: tuple[str, ...]
    remedy: str


def check_value(annotation: Any, value: Any, name: str, where: str = "") -> Any:
    """`value` in the type of `annotation`: lists become tuples, a lone string a tuple of one, integers floats.

    **Arguments:**

    - `annotation`: `int`, `float`, `bool`, `str`, `None`, a `Literal`, `tuple[T, ...]`, `Sequence[T]`, `dict[str, Any]`, a union
        of them, or one of them `Annotated` with `Bounds`, `NotEmpty` or `Instead`; any other allows every value of JSON types.
    - `value`: what was given.
    - `name`: the dotted name of the option.
    - `where`: where it was given, for the message.

    **Raises:** `ConfigError` with one line: option, wanted, got, where, remedy.
    """
    kind, metadata = _split(annotation)
    at = f" ({where})" if where else ""
    limits = [str(item) for item in metadata if isinstance(item, Bounds)]
    refusal = f"{name} must be {' '.join([wanted(kind), *limits])}, got {in_words(value)}{at}."
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            known = [f" {item.remedy}" for item in metadata if isinstance(item, Instead) and value in item.values]
            hint = did_you_mean(value, typing.get_args(kind)) if isinstance(value, str) else ""
            raise ConfigError(f"{refusal}{known[0] if known else hint}")
    elif origin in (typing.Union, types.UnionType):
        return _check_union(typing.get_args(kind), value, name, where, refusal)
    elif origin in (tuple, Sequence):
        item = typing.get_args(kind)[0]
        value = (value,) if isinstance(value, str) and origin is tuple else value
        if not isinstance(value, list | tuple):
            raise ConfigError(refusal)
        value = tuple(check_value(item, part, name, where) for part in value)
    elif kind not in _NAMES:
        value = frozen(value, name, where)
    elif not _is_a(value, kind):
        remedy = " Remove the quotes." if isinstance(value, str) and _is_a(parse_text(kind, value), kind) else ""
        remedy = " Put it in quotes." if kind is str and value is not None else remedy
        raise ConfigError(f"{refusal}{remedy}")
    if kind is float:
        value = _as_float(value)
        if not math.isfinite(value):
            raise ConfigError(f"{name} must be {' and '.join(['finite', *limits])}, got {shown(value)}{at}.")
        if abs(value) > _LARGEST:
            raise ConfigError(
                f"{name} must be at most {_LARGEST:.3g} in size, as single precision holds, got {shown(value)}{at}."
            )
    for item in metadata:
        if isinstance(item, Bounds) and not item.hold(value):
            raise ConfigError(f"{name} must be {'finite and ' if kind is float else ''}{item}, got {shown(value)}{at}.")
        if isinstance(item, NotEmpty) and not value:
            raise ConfigError(f"{name} must not be empty{at}.")
    if kind is float and 0 < abs(value) < _SMALLEST:
        raise ConfigError(f"{name} must be at least {_SMALLEST:.3g} in size, as single precision holds, got {shown(value)}{at}.")
    return value


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], prefix: str) -> None:
    """Checks arguments of a function by its annotations; `ConfigError` names the option `prefix.argument`."""
    hints = typing.get_type_hints(function, include_extras=True)
    for name, value in arguments.items():
        check_value(hints.get(name, Any), value, f"{prefix}.{name}")


def check_fields(section: Any, prefix: str) -> None:
    """Checks every field of a frozen dataclass by its annotation and brings it to its type; sections inside it are left alone."""
    for name, annotation in typing.get_type_hints(type(section), include_extras=True).items():
        value = getattr(section, name)
        if not dataclasses.is_dataclass(value):
            object.__setattr__(section, name, check_value(annotation, value, f"{prefix}.{name}" if prefix else name))


def parse_text(annotation: Any, text: str) -> Any:
    """What `text` of a command line says where `annotation` is wanted; text that does not fit is left for `check_value`."""
    kind, _ = _split(annotation)
    if kind is Any:
        return _parse_free(text)
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in (int, float):
        return _number(text, kind)
    if typing.get_origin(kind) is tuple:
        inner = text.strip()
        inner = inner[1:-1] if inner[:1] + inner[-1:] in ("[]", "()") else inner
        items = [part.strip().strip("'\"") for part in inner.split(",")] if inner.strip() else []
        return [parse_text(typing.get_args(kind)[0], item) for item in items]
    return text


def wanted(annotation: Any) -> str:
    """The type of an annotation in words."""
    kind, _ = _split(annotation)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(wanted, inner))
    if origin in (tuple, Sequence):
        item, _ = _split(inner[0])
        return {str: "a list of strings", int: "a list of integers", float: "a list of numbers"}.get(item, "a list")
    return _NAMES.get(kind, "a table")


def described(annotation: Any, default: Any) -> str:
    """`int, default 32`: what stands in brackets behind a suggested option."""
    kind, _ = _split(annotation)
    origin = typing.get_origin(kind)
    name = "list" if origin is tuple else "str" if origin is typing.Literal else getattr(kind, "__name__", str(kind))
    if default is dataclasses.MISSING:
        return f"{name}, required"
    return f"{name}, default {in_words(list(default) if isinstance(default, tuple) else default, plain=True)}"


def frozen(value: Any, name: str, where: str = "") -> Any:
    """JSON-like `value` with tuples for lists; `ConfigError` for anything that is not JSON."""
    if isinstance(value, Mapping):
        return {str(key): frozen(item, f"{name}.{key}" if name else str(key), where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(frozen(item, name, where) for item in value)
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (isinstance(value, bool | int | float | str) and finite):
        return value
    at = f" ({where})" if where else ""
    raise ConfigError(f"{name} must be a finite number, a string, a boolean, a list or a table, got {in_words(value)}{at}.")


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0], annotation.__metadata__
    return annotation, ()


def _check_union(members: Sequence[Any], value: Any, name: str, where: str, refusal: str) -> Any:
    """`value` as the first member of a union that allows it; `ConfigError` with `refusal` if none does."""
    for member in members:
        with contextlib.suppress(ConfigError):
            return check_value(member, value, name, where)
    names = [choice for member in members if typing.get_origin(member) is typing.Literal for choice in typing.get_args(member)]
    raise ConfigError(refusal + (did_you_mean(value, names) if isinstance(value, str) else ""))


def _is_a(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _number(text: str, kind: type[int] | type[float]) -> Any:
    """The number of this kind that `text` is, else whatever number it is."""
    for each in (kind, float):
        with contextlib.suppress(ValueError):
            return each(text)
    return text


def _parse_free(text: str) -> Any:
    """A number, boolean, quoted string, list or table as in TOML, `16,16` as a list, `null` as nothing, else the text itself."""
    if text.lower() in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[text.lower()]
    for candidate in (text, f"[{text}]") if "," in text else (text,):
        try:
            parsed = tomllib.loads(f"value = {candidate}")
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        if set(parsed) == {"value"} and isinstance(parsed["value"], bool | int | float | str | list | dict):
            return parsed["value"]
    if "," in text:
        return [_parse_free(part.strip()) for part in text.strip("[]()").split(",")]
    return text


def in_words(value: Any, *, plain: bool = False) -> str:
    """A value with the name of its type, or without if `plain`, as a message repeats it."""
    if isinstance(value, bool):
        return str(value).lower() if plain else f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return shown(value) if plain else f"the string {shown(value)}"
    if isinstance(value, list | tuple):
        return shown(list(value)) if plain else f"the list {shown(list(value))}"
    if isinstance(value, Mapping):
        return "a table"
    if value is None:
        return "null"
    return shown(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
