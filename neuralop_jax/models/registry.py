"""Operators by name: a specification of JSON types in, a model out, and back."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from neuralop_jax._checks import did_you_mean
from neuralop_jax._config_values import check_arguments
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._classic_fno import ClassicFNO
from neuralop_jax.models._fno import FNO
from neuralop_jax.models._mgno import MgNO
from neuralop_jax.models._normalized import Normalized

REGISTRY: dict[str, type[AbstractOperator]] = {"fno": FNO, "classic_fno": ClassicFNO, "mgno": MgNO}
"""Every model that a configuration can name. A model of your own: `REGISTRY["mine"] = Mine`, before `build`."""

_FROM_DATA = ("in_channels", "out_channels", "num_dims", "sensors")


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raises `ConfigError` unless `kind` is registered and every option is an argument of its constructor."""
    if kind not in REGISTRY:
        if "." in kind:
            raise ConfigError(f"model.kind {kind!r} is not a registered model; configurations cannot import Python objects.")
        raise ConfigError(f"unknown model {kind!r}. Known: {', '.join(sorted(REGISTRY))}.{did_you_mean(kind, REGISTRY)}")
    arguments = _arguments(kind)
    for name in options:
        if name not in arguments:
            raise ConfigError(
                f"unknown option 'model.{name}' for model {kind!r}.{_suggest(name, arguments)} "
                f"Options: {', '.join(a for a in arguments if a not in _FROM_DATA)}."
            )
    check_arguments(REGISTRY[kind].__init__, options, "model")


def build(
    spec: Mapping[str, Any],
    *,
    key: PRNGKey,
    in_channels: int | None = None,
    out_channels: int | None = None,
    num_dims: int | None = None,
    sensors: Sequence[int] | None = None,
) -> AbstractOperator:
    """The model of a specification `{"kind": name, **arguments}`.

    **Arguments:**

    - `spec`: JSON types; lists stand for tuples.
    - `key`: initial weights.
    - `in_channels`, `out_channels`, `num_dims`, `sensors`: filled in from the data where the specification leaves them out and
        the constructor has them; `sensors` is the shape of the grid, for operators that read their input at fixed points.

    **Raises:** `ConfigError` for an unknown model or option, or a value that its constructor refuses.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import build, spec_of

        model = build({"kind": "fno", "n_modes": [8, 8], "in_channels": 1, "out_channels": 1}, key=jax.random.key(0))
        assert spec_of(model)["width"] == 32
        ```
    """
    kind, arguments = spec["kind"], {name: _tuples(value) for name, value in spec.items() if name != "kind"}
    check_options(kind, arguments)
    filled = {"in_channels": in_channels, "out_channels": out_channels, "num_dims": num_dims, "sensors": sensors}
    arguments |= {n: v for n, v in filled.items() if v is not None and n not in arguments and n in _arguments(kind)}
    try:
        constructor: Any = REGISTRY[kind]
        return constructor(**arguments, key=key)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"model {kind!r}: {error}") from error
        given = ", ".join(f"{n}={v!r}" for n, v in arguments.items() if n not in filled)
        raise ConfigError(f"model {kind!r} cannot be built from {given}: {str(error).splitlines()[0]}") from error


def spec_of(model: AbstractOperator) -> dict[str, Any]:
    """The specification from which `build` makes a model of the same structure: JSON types only.

    **Raises:** `ConfigError` if the model's class is not registered.
    """
    if isinstance(model, Normalized):
        model = model.model
    kinds = {cls: kind for kind, cls in REGISTRY.items()}
    if type(model) not in kinds:
        raise ConfigError(f"{type(model).__name__} is not a registered model. Add it to neuralop_jax.models.REGISTRY.")
    kind = kinds[type(model)]
    return {"kind": kind, **{name: _lists(getattr(model, name)) for name in _arguments(kind)}}


def _arguments(kind: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(REGISTRY[kind].__init__).parameters
    return {name: p for name, p in parameters.items() if name not in ("self", "key")}


def _suggest(name: str, arguments: Mapping[str, inspect.Parameter]) -> str:
    hint = did_you_mean(f"model.{name}", [f"model.{a}" for a in arguments])
    if not hint:
        return ""
    found = arguments[hint.split("'")[1].removeprefix("model.")]
    default = "" if found.default is inspect.Parameter.empty else f", default {found.default!r}"
    kind = getattr(found.annotation, "__name__", None) if isinstance(found.annotation, type) else None
    detail = f" ({(kind or 'see its docstring')}{default})"
    return f"{hint.removesuffix('?')}{detail}?"


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value
