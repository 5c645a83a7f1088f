"""What the constructors of MgNO's classes say, in the words of this library."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.interop._state import read_config

_FAMILY = "mgno"
_RULES = {"zeros": "zeros", "reflect": "reflect", "replicate": "replicate", "circular": "periodic"}
_ACTIVATIONS = ("relu", "gelu", "tanh", "silu")
_LAYER = ("num_iteration", "num_channel_u", "num_channel_f")
_MODEL = ("num_layer", "num_channel_u", "num_channel_f", "num_classes", "num_iteration")
_USUAL = {"normalizer": None, "output_dim": 1, "activation": "gelu"}
_DARCY = {"in_chans": 1, **_USUAL, "padding_mode": "zeros"}
_HELMHOLTZ = {"in_chans": 3, **_USUAL, "init": False}
_CLASSES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "MgNO_DC": (_MODEL, _DARCY),
    "MgNO_DC_smooth": (_MODEL, _DARCY),
    "MgNO_NS": (
        _MODEL,
        {"in_chans": 3, **_USUAL, "mlp_hidden_dim": 0, "padding_mode": "circular"}
        | {"bias": False, "use_res": False, "elementwise_affine": True},
    ),
    "MgNO_helm": (_MODEL, _HELMHOLTZ),
    "MgNO_helm2": (_MODEL, {**_HELMHOLTZ, "mlp_hidden_dim": 128, "if_mlp": False}),
    "MgConv": (_LAYER, {"padding_mode": "zeros", "bias": False, "use_res": False, "elementwise_affine": True}),
    "MgConv_DC": (_LAYER, {"padding_mode": "zeros", "bias": False, "use_res": False}),
    "MgConv_DC_smooth": (_LAYER, {"padding_mode": "zeros", "bias": False, "use_res": False}),
    "MgConv_helm": (_LAYER, {"init": False}),
    "MgConv_helm2": (_LAYER, {"padding_mode": "zeros", "bias": False, "elementwise_affine": True, "init": False}),
    "MgConv_helm3": (_LAYER, {"padding_mode": "reflect", "bias": False, "elementwise_affine": True, "init": False}),
}
"""Arguments that every class requires, and the defaults of the others. `in_chans`, `num_classes`, the `output_dim` of all but
Navier-Stokes with a hidden layer, and the `padding_mode` of that and of the Helmholtz classes have no effect in the original."""

_CYCLES = {
    "MgNO_DC": "MgConv_DC",
    "MgNO_DC_smooth": "MgConv_DC_smooth",
    "MgNO_NS": "MgConv",
    "MgNO_helm": "MgConv_helm",
    "MgNO_helm2": "MgConv_helm3",
}
_SMOOTH_SIZES = (3, 4, 3, 3, 4)


@dataclasses.dataclass
class Original:
    """A configuration read: the options of `MgNO`, and what the original's state dict holds besides.

    **Arguments:**

    - `options`: of `MgNO`.
    - `smoothing`: steps per level as the original counts them.
    - `heads`: names of the maps of the head, each with whether it has a bias; the prefix of a V-cycle alone.
    - `surplus`: entries inside each V-cycle that the original never uses.
    - `normalizer`: `None`, or its `eps` and perhaps `mean` and `std`, which otherwise are in the state dict.
    - `grid`: the only grid that the original's norms accept.
    - `squeezed`: whether a decoded output loses its axes of size one.
    """

    options: dict[str, Any]
    smoothing: tuple[tuple[int, int], ...]
    heads: tuple[tuple[str, bool], ...] = ()
    surplus: tuple[str, ...] = ()
    normalizer: dict[str, Any] | None = None
    grid: tuple[int, ...] | None = None
    squeezed: bool = False


def read_original(config: Mapping[str, Any]) -> Original:
    """The configuration of one of the original's classes, `config["cls"]`, in the words of this library.

    **Raises:** `ConfigError` for a class or option that is unknown, or with which the original cannot run.
    """
    name = config.get("cls")
    one_of(f"{_FAMILY}: cls", name, _CLASSES, ConfigError)
    required, defaults = _CLASSES[str(name)]
    full = read_config(_FAMILY, {k: v for k, v in config.items() if k != "cls"}, defaults, required)
    for size in set(full) & {"num_layer", "num_channel_u", "num_channel_f"}:
        _check_whole(size, full[size], least=1)
    cycle = _CYCLES.get(str(name), str(name))
    helmholtz = cycle.startswith("MgConv_helm")
    smoothing = _smoothing(full["num_iteration"], pairs=cycle != "MgConv_helm")
    original = Original({"num_dims": 2, "in_channels": full["num_channel_f"], "width": full["num_channel_u"]}, smoothing)
    (_read_helmholtz_cycle if helmholtz else _read_cycle)(original, cycle, full)
    if "num_layer" in full:
        _MODELS[str(name)](original, full)
        one_of(f"{_FAMILY}: activation", full["activation"], _ACTIVATIONS, ConfigError)
        original.options |= {"depth": full["num_layer"], "activation": full["activation"]}
        if name != "MgNO_NS":
            original.normalizer = _normalizer(full["normalizer"])
    else:
        original.options |= {"depth": 0, "head": "multigrid", "out_channels": full["num_channel_u"], "bypass": False}
        original.heads = (("", False),)
    return original


def _read_cycle(original: Original, cycle: str, full: Mapping[str, Any]) -> None:
    """The V-cycles of the Darcy and Navier-Stokes models."""
    levels = len(original.smoothing)
    sizes: tuple[int, ...] = (4,) * (levels - 1)
    if cycle == "MgConv_DC_smooth":
        if levels > 1 + len(_SMOOTH_SIZES):
            raise ConfigError(f"{_FAMILY}: the original's odd sizes are written for 6 levels at most, got {levels}.")
        sizes = _SMOOTH_SIZES[: levels - 1]
        original.surplus = tuple(f"RTlayers.{k}.weight" for k in range(levels - 1, len(_SMOOTH_SIZES)))
    mode = full["padding_mode"] if "num_layer" not in full or cycle != "MgConv" else "circular"
    one_of(f"{_FAMILY}: padding_mode", mode, _RULES, ConfigError)
    original.options |= {
        "smoothing": _used(original.smoothing),
        "boundary": _RULES[mode],
        "bias": "scalar" if full.get("bias") else "none",
        "coarse_rhs": "residual" if full.get("use_res") else "rhs",
        "prolongation_size": sizes,
        "zero_padded_prolongation": True,
    }
    if cycle == "MgConv" and levels > 1:
        original.grid = (64, 64)
        original.options |= {"norm": "cycle"}
        if full["elementwise_affine"]:
            original.options |= {"norm_affine": "all", "norm_grid": original.grid}


def _read_helmholtz_cycle(original: Original, cycle: str, full: Mapping[str, Any]) -> None:
    """The V-cycles of the Helmholtz models."""
    levels, plain = len(original.smoothing), cycle == "MgConv_helm"
    if levels not in (1, 2, 5):
        raise ConfigError(f"{_FAMILY}: {cycle} is written for 5 levels and fails with {levels}; it runs with 1, 2 or 5.")
    if plain and full["init"]:
        raise ConfigError(f"{_FAMILY}: init is not supported, because the original fails with it; its weights need no init.")
    sizes = (3, *(4,) * (levels - 3), 3)
    original.surplus = tuple(f"RTlayers.{k}.weight" for k in range(levels - 1, 2))
    if plain:
        original.surplus += ("layer0.0.A.weight", "layer0.0.A.bias")
    original.options |= {
        "smoothing": _used(original.smoothing),
        "boundary": "reflect",
        "bias": "scalar" if plain or full.get("bias") else "none",
        "prolongation_size": sizes[: levels - 1],
        "zero_padded_prolongation": True,
        "restriction_padding": 0,
        "growing": cycle != "MgConv_helm3",
    }
    if not plain and levels > 1:
        original.grid = (101, 101)
        original.options |= {"norm": "cycle", "norm_affine": "finest", "norm_grid": original.grid}
    elif not plain:
        original.surplus += ("norm_layer_list.0.weight", "norm_layer_list.0.bias")


def _read_darcy(original: Original, full: Mapping[str, Any]) -> None:
    original.options |= {"bypass": True, "out_channels": 1}
    original.heads = (("linear", False),)


def _read_navier_stokes(original: Original, full: Mapping[str, Any]) -> None:
    channels, hidden = full["num_channel_f"], full["mlp_hidden_dim"]
    _check_whole("mlp_hidden_dim", hidden, least=0)
    _check_whole("output_dim", full["output_dim"], least=1)
    made = full["output_dim"] if hidden else 1
    if len({made, channels, 1}) > 2:
        raise ConfigError(f"{_FAMILY}: the original cannot add output_dim {made} channels to the num_channel_f {channels} of x.")
    original.options |= {"bypass": False, "residual": True, "out_channels": max(made, channels), "head_hidden": hidden}
    original.options |= {"head_channels": made}
    original.heads = (("last_layer.0", True), ("last_layer.2", False)) if hidden else (("last_layer", False),)


def _read_helmholtz(original: Original, full: Mapping[str, Any]) -> None:
    original.grid, original.squeezed = (101, 101), True
    original.options |= {"norm": "layer", "norm_affine": "finest", "norm_grid": original.grid}
    original.options |= {"bypass": False, "head": "multigrid", "out_channels": 1}
    original.heads = (("last_layer.", False),)


def _read_second_helmholtz(original: Original, full: Mapping[str, Any]) -> None:
    original.squeezed = True
    original.options |= {"bypass": False, "out_channels": 1}
    original.options |= {"head": "multigrid"} if full["if_mlp"] else {"head_bias": True}
    original.heads = (("mlp.", False),) if full["if_mlp"] else (("mlp", True),)


_MODELS: dict[str, Callable[[Original, Mapping[str, Any]], None]] = {
    "MgNO_DC": _read_darcy,
    "MgNO_DC_smooth": _read_darcy,
    "MgNO_NS": _read_navier_stokes,
    "MgNO_helm": _read_helmholtz,
    "MgNO_helm2": _read_second_helmholtz,
}


def _smoothing(given: Any, *, pairs: bool) -> tuple[tuple[int, int], ...]:
    """Steps before and after the coarser level, per level; the plain Helmholtz model only has those before."""
    whole = lambda n: isinstance(n, int) and not isinstance(n, bool) and n >= 0  # noqa: E731
    listed = isinstance(given, list | tuple) and len(given) > 0
    if pairs:
        fits = listed and all(isinstance(n, list | tuple) and len(n) == 2 and all(map(whole, n)) for n in given)
    else:
        fits = listed and all(map(whole, given))
    if not fits:
        raise ConfigError(f"{_FAMILY}: num_iteration must be a list of {'pairs of ' * pairs}whole numbers, got {given!r}.")
    steps = tuple((int(n[0]), int(n[1])) if pairs else (int(n), 0) for n in given)
    if steps[0][0] < 1:
        raise ConfigError(f"{_FAMILY}: num_iteration {given!r} takes no first step, with which the original fails.")
    return steps


def _used(smoothing: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The steps that the original takes: none after the coarsest level."""
    return (*smoothing[:-1], (smoothing[-1][0], 0))


def _normalizer(given: Any) -> dict[str, Any] | None:
    """The decoding normalizer: nothing; `True` for statistics in the state dict; or `mean` and `std`, and perhaps `eps`."""
    if given is None or given is False:
        return None
    said = {} if given is True else given
    if not isinstance(said, Mapping) or not set(said) <= {"mean", "std", "eps"} or ("mean" in said) != ("std" in said):
        raise ConfigError(
            f"{_FAMILY}: normalizer must be None, True for one whose mean and std are in the state dict, or a mapping with mean, "
            f"std and eps, got {given!r}."
        )
    return {"eps": 1e-5, **said}


def _check_whole(name: str, value: Any, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{_FAMILY}: {name} must be a whole number of at least {least}, got {value!r}.")
