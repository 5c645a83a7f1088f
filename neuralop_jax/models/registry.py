"""Operators by name: a specification of JSON types in, a model out, and back."""

import functools
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from neuralop_jax._checks import did_you_mean, reason, shortened, shown
from neuralop_jax._config_values import check_arguments
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.models._autoregressive import Autoregressive
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._classic_fno import ClassicFNO
from neuralop_jax.models._continuous_time import ContinuousTime
from neuralop_jax.models._deeponet import DeepONet
from neuralop_jax.models._factformer import FactFormer
from neuralop_jax.models._fno import FNO
from neuralop_jax.models._implicit_fno import ImplicitFNO
from neuralop_jax.models._irregular_lsm import IrregularLSM
from neuralop_jax.models._lsm import LSM
from neuralop_jax.models._mgno import MgNO
from neuralop_jax.models._multigrid_patches import MultigridPatches
from neuralop_jax.models._multionet import MultiONet
from neuralop_jax.models._normalized import Normalized
from neuralop_jax.models._options import OperatorSpec
from neuralop_jax.models._pod_deeponet import PODDeepONet
from neuralop_jax.models._series_cde import SeriesCDE
from neuralop_jax.models._tfno import TFNO

REGISTRY: dict[str, type[AbstractOperator] | functools.partial[Any]] = {
    "fno": FNO,
    "tfno": TFNO,
    "classic_fno": ClassicFNO,
    "multigrid_patches": MultigridPatches,
    "deeponet": DeepONet,
    "pod_deeponet": PODDeepONet,
    "multionet": MultiONet,
    "lsm": LSM,
    "irregular_lsm": IrregularLSM,
    "factformer": FactFormer,
    "mgno": MgNO,
    "autoregressive": Autoregressive,
    "continuous_time": ContinuousTime,
    "neural_cde": SeriesCDE,
    "implicit_fno": ImplicitFNO,
}
"""Every model that a configuration can name. A model of your own: `REGISTRY["mine"] = Mine`, before `build`.

The arguments of the constructor are the options of the configuration: keyword-only, of JSON types, each kept in a static field
of the same name. `in_channels`, `out_channels`, `num_dims` and `sensors` come from the data where the constructor has them. The
command line reaches what a module of yours registers by `--import MODULE`; a configuration cannot. A `functools.partial` of a
model is the same model with other defaults.

!!! example

    ```python
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from neuralop_jax.models import REGISTRY, AbstractOperator, build, spec_of


    class Mine(AbstractOperator):
        in_channels: int = eqx.field(static=True)
        out_channels: int = eqx.field(static=True)
        width: int = eqx.field(static=True)
        mlp: eqx.nn.MLP

        def __init__(self, *, in_channels: int, out_channels: int, width: int = 32, key: jax.Array):
            self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
            self.mlp = eqx.nn.MLP(in_channels, out_channels, width, depth=2, key=key)

        def __call__(self, u, *, x=None, y=None, p=None, key=None):
            values = jax.vmap(self.mlp)(u.reshape(self.in_channels, -1).T)
            return values.T.reshape(self.out_channels, *u.shape[1:])


    REGISTRY["mine"] = Mine
    model = build({"kind": "mine", "width": 8, "in_channels": 1, "out_channels": 2}, key=jax.random.key(0))
    assert model(jnp.ones((1, 16, 16))).shape == (2, 16, 16)
    assert spec_of(model) == {"kind": "mine", "in_channels": 1, "out_channels": 2, "width": 8}
    del REGISTRY["mine"]
    ```
"""

_OWN = "A model of your own is registered by a module that --import names."
_FROM_DATA = ("in_channels", "out_channels", "num_dims", "sensors", "times")
_FROM_OUTSIDE = ("in_channels", "out_channels")


def check_options(kind: str, options: Mapping[str, Any], *, section: str = "model") -> None:
    """Raises `ConfigError` unless `kind` is registered and every option is an argument of its constructor.

    `section` is where the options stand. An option that is an operator in its turn is checked as `section.option`.

    !!! example

        ```python
        import pytest
        from neuralop_jax.errors import ConfigError
        from neuralop_jax.models import check_options

        check_options("fno", {"n_modes": [8, 8], "width": 16})
        with pytest.raises(ConfigError, match="width"):
            check_options("fno", {"n_modes": [8, 8], "widht": 16})
        ```
    """
    if kind not in REGISTRY:
        if "." in kind:
            raise ConfigError(
                f"{section}.kind {shown(kind)} is not a registered model; configurations cannot import Python objects. {_OWN}"
            )
        at = "" if section == "model" else f" in {section}.kind"
        raise ConfigError(
            f"unknown model {shown(kind)}{at}. Known: {', '.join(sorted(REGISTRY))}.{did_you_mean(kind, REGISTRY)} {_OWN}"
        )
    arguments, given = _arguments(kind), _FROM_DATA if section == "model" else _FROM_OUTSIDE
    for name in options:
        if name not in arguments:
            raise ConfigError(
                f"unknown option '{section}.{shortened(name, 100)}' for model {kind!r}.{_suggest(name, arguments, section)} "
                f"Options: {', '.join(a for a in arguments if a not in given)}."
            )
    check_arguments(_class(REGISTRY[kind]).__init__, options, section)
    hints = typing.get_type_hints(_class(REGISTRY[kind]).__init__, include_extras=True)
    for name, value in options.items():
        if hints.get(name) == OperatorSpec:
            _check_inner(f"{section}.{name}", value)


def _check_inner(section: str, spec: Any) -> None:
    """Raises `ConfigError` unless `spec` is the specification of an operator inside another."""
    kind = _kind_of(section, spec)
    for name in _FROM_OUTSIDE:
        if name in spec:
            raise ConfigError(f"{section}.{name} follows from the operator around it. Leave it out.")
    check_options(kind, {name: value for name, value in spec.items() if name != "kind"}, section=section)


def _kind_of(section: str, spec: Any) -> str:
    """The name of the model that a specification is of; `ConfigError` if it has none."""
    if not isinstance(spec, Mapping):
        raise ConfigError(f"{section} must be a table of options, got {shown(spec)}. Write [{section}] with a kind.")
    if not isinstance(spec.get("kind"), str):
        found = shown(spec["kind"]) if "kind" in spec else "nothing"
        raise ConfigError(f"{section}.kind must name a model, got {found}. Known: {', '.join(sorted(REGISTRY))}.")
    return spec["kind"]


def build(
    spec: Mapping[str, Any],
    *,
    key: PRNGKey,
    in_channels: int | None = None,
    out_channels: int | None = None,
    num_dims: int | None = None,
    sensors: Sequence[int] | None = None,
    times: Sequence[float] | None = None,
) -> AbstractOperator:
    """The model of a specification `{"kind": name, **arguments}`.

    **Arguments:**

    - `spec`: JSON types; lists stand for tuples.
    - `key`: initial weights.
    - `in_channels`, `out_channels`, `num_dims`, `sensors`, `times`: filled in from the data where the specification leaves them
        out and the constructor has them; `sensors` is the shape of the grid, for operators that read their input at fixed points,
        `times` are those of the target's frames, for operators that make trajectories.

    **Raises:** `ConfigError` for an unknown model or option, or a value that its constructor refuses.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import build, spec_of

        model = build({"kind": "fno", "n_modes": [8, 8], "in_channels": 1, "out_channels": 1}, key=jax.random.key(0))
        assert spec_of(model)["width"] == 32
        ```
    """
    kind, arguments = _kind_of("model", spec), {name: _tuples(value) for name, value in spec.items() if name != "kind"}
    check_options(kind, arguments)
    filled = {"in_channels": in_channels, "out_channels": out_channels, "num_dims": num_dims, "sensors": sensors}
    filled["times"] = times
    arguments |= {n: v for n, v in filled.items() if v is not None and n not in arguments and n in _arguments(kind)}
    try:
        constructor: Any = REGISTRY[kind]
        return constructor(**arguments, key=key)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"model {kind!r}: {error}") from error
        given = ", ".join(f"{n}={shown(v)}" for n, v in arguments.items() if n not in filled)
        raise ConfigError(f"model {kind!r} cannot be built from {given or 'its defaults'}: {reason(error)}") from error


def spec_of(model: AbstractOperator) -> dict[str, Any]:
    """The specification from which `build` makes a model of the same structure: JSON types only.

    **Raises:** `ConfigError` if the model's class is not registered, or if it was given an option that `build` refuses, such as 1
    for true.
    """
    if isinstance(model, Normalized):
        model = model.model
    kinds = [kind for kind, constructor in REGISTRY.items() if _class(constructor) is type(model)]
    if not kinds:
        raise ConfigError(f"{type(model).__name__} is not a registered model. Add it to neuralop_jax.models.REGISTRY.")
    kind = next((kind for kind in kinds if _departs(model, kind)), kinds[0])
    arguments = {name: _lists(getattr(model, name)) for name in _arguments(kind)}
    check_options(kind, arguments)  # what `build` would refuse must not be saved
    return {"kind": kind, **arguments}


def _class(constructor: type[AbstractOperator] | functools.partial[Any]) -> Any:
    return constructor.func if isinstance(constructor, functools.partial) else constructor


def _departs(model: AbstractOperator, kind: str) -> bool:
    """Whether `kind` gives defaults of its own, and `model` differs from those of its class in all of them."""
    constructor = REGISTRY[kind]
    if not isinstance(constructor, functools.partial):
        return False
    usual = inspect.signature(_class(constructor)).parameters
    return all(getattr(model, name) != usual[name].default for name in constructor.keywords)


def build_inner(
    section: str, spec: Any, *, key: PRNGKey, in_channels: int, out_channels: int, num_dims: int | None
) -> AbstractOperator:
    """The operator inside another, from the argument called `section` of the one around it."""
    _check_inner(section, spec)
    return build(spec, key=key, in_channels=in_channels, out_channels=out_channels, num_dims=num_dims)


def inner_spec(model: AbstractOperator) -> dict[str, Any]:
    """The specification of an operator inside another, without what follows from the one around it."""
    return {name: value for name, value in spec_of(model).items() if name not in _FROM_OUTSIDE}


def _arguments(kind: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(REGISTRY[kind]).parameters
    return {name: p for name, p in parameters.items() if name not in ("self", "key")}


def _suggest(name: str, arguments: Mapping[str, inspect.Parameter], section: str) -> str:
    hint = did_you_mean(name, arguments)
    if not hint:
        return ""
    nearest = hint.split("'")[1]
    found = arguments[nearest]
    default = "" if found.default is inspect.Parameter.empty else f", default {found.default!r}"
    kind = getattr(found.annotation, "__name__", None) if isinstance(found.annotation, type) else None
    detail = f" ({(kind or 'see its docstring')}{default})"
    return f" Did you mean '{section}.{nearest}'{detail}?"


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value
