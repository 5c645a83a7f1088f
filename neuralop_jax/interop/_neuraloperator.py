"""The FNO of the neuraloperator library, version 2.0.0: its configuration, its weights, and its index rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._neuraloperator_ranks import columns, low_rank_options, narrow, stored_columns, wide_shapes
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, join_parts, read_config, read_state, split_complex
from neuralop_jax.layers import AbstractSpectralWeight, SpectralConv
from neuralop_jax.models import FNO

_FAMILY = "neuraloperator_fno"
_REQUIRED = ("n_modes", "in_channels", "out_channels", "hidden_channels")
_DEFAULTS: dict[str, Any] = {
    "n_layers": 4,
    "lifting_channel_ratio": 2,
    "projection_channel_ratio": 2,
    "positional_embedding": "grid",
    "non_linearity": "gelu",
    "norm": None,
    "complex_data": False,
    "use_channel_mlp": True,
    "channel_mlp_dropout": 0,
    "channel_mlp_expansion": 0.5,
    "channel_mlp_skip": "soft-gating",
    "fno_skip": "linear",
    "resolution_scaling_factor": None,
    "domain_padding": None,
    "fno_block_precision": "full",
    "stabilizer": None,
    "max_n_modes": None,
    "factorization": None,
    "rank": 1.0,
    "fixed_rank_modes": False,
    "implementation": "factorized",
    "decomposition_kwargs": None,
    "separable": False,
    "preactivation": False,
}
"""The original's defaults. `decomposition_kwargs` have no effect; without a factorization `rank`, `fixed_rank_modes` and
`implementation` have none, nor has `channel_mlp_dropout` at inference."""


class NeuralOperatorFNO(AbstractPorted):
    r"""neuraloperator 2.0.0's `FNO` for inference, from `(B, in_channels, *S)` to `(B, out_channels, *S)`.

    It returns the numbers of the original also where that deviates from its own rule, the wavenumbers
    $-\lfloor M/2\rfloor \dots \lceil M/2\rceil - 1$ per axis (all but the last one, in two dimensions or more):

    - On an axis with an odd number of points (padding counted), the original undoes its shift of the spectrum by the same
      shift once more, so that every result at wavenumber $k$ lands at $k - 1$.
    - Where an even number of modes is stored but an odd number used, on an odd grid coarser than `n_modes` or by an odd
      `n_modes` below an even `max_n_modes`, the weight of wavenumber $k$ is applied at $k + 1$.

    `model` is right by wavenumber in both cases. Use `model` for networks trained on axes with an even number of points, or
    with the later development version of the original, which shifts back rightly, and this callable otherwise.

    **Source:** `neuralop/models/fno.py`, `neuralop/layers/spectral_convolution.py` of neuraloperator 2.0.0.

    !!! example

        ```python
        import equinox as eqx
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"n_modes": [2, 2], "in_channels": 1, "out_channels": 1, "hidden_channels": 1, "n_layers": 1}
        config |= {"lifting_channel_ratio": 0, "projection_channel_ratio": 1, "positional_embedding": None}
        config |= {"use_channel_mlp": False, "fno_skip": None, "non_linearity": "relu"}
        maps = ("lifting.fcs.0", "projection.fcs.0", "projection.fcs.1")
        state = {f"{name}.weight": np.ones((1, 1, 1)) for name in maps} | {f"{name}.bias": np.zeros(1) for name in maps}
        conv = "fno_blocks.convs.0"
        state |= {f"{conv}.weight.tensor": np.ones((1, 1, 2, 2), complex), f"{conv}.bias": np.zeros((1, 1, 1))}
        fno = from_torch("neuraloperator_fno", config, state)
        even, odd = jnp.ones((1, 1, 4, 4)), jnp.ones((1, 1, 5, 4))
        assert jnp.allclose(fno(x=even), 1) and jnp.allclose(eqx.filter_jit(fno.model)(odd[0]), 1, atol=1e-6)
        wave = jnp.cos(2 * jnp.pi * jnp.arange(5) / 5)  # the original puts wavenumber 0 at -1
        assert jnp.allclose(fno(x=odd)[0, 0], jnp.maximum(wave, 0)[:, None], atol=1e-6)
        ```
    """

    model: FNO

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: by wavenumbers, on axes but the last."""
        conv = self.model.blocks[0].conv
        full = list(zip(conv.n_modes[:-1], conv.stored_modes[:-1], strict=True))
        if not full:
            return ""
        said = "where an axis but the last has an odd number of points (with padding) the original's results are a wavenumber low"
        if any(kept % 2 == 1 and stored % 2 == 0 for kept, stored in full):
            said += "; on every grid it applies each weight a wavenumber too high, since n_modes is odd and max_n_modes even"
        return said

    @eqx.filter_jit
    def __call__(self, x: Float[Array, "batch channels *space"]) -> Float[Array, "batch out *space"]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for an array of another layout.
        """
        dims = len(self.model.n_modes)
        if x.ndim != dims + 2 or x.shape[1] != self.model.in_channels:
            raise ModelInputError(
                f"{_FAMILY}: x has shape {x.shape}, wanted (batch, {self.model.in_channels}, *space) with {dims} space axes."
            )
        model = eqx.tree_at(_convs, self.model, [_IndexedSpectralConv(conv) for conv in _convs(self.model)])
        return jax.vmap(model)(x)


def _convs(model: FNO) -> list[Any]:
    return [block.conv for block in model.blocks]


class _IndexedSpectralConv(eqx.Module):
    """A spectral convolution that picks and places wavenumbers by the original's index rules; on most grids they are right."""

    conv: SpectralConv

    @property
    def n_modes(self) -> tuple[int, ...]:
        """The modes of the convolution."""
        return self.conv.n_modes

    def __call__(
        self, u: Float[Array, "channels *space"], shape: Sequence[int], *, weight: None = None, key: None = None
    ) -> Float[Array, "channels *space"]:
        """The convolved field; `shape` is that of `u`, since configurations that change it are refused; the rest is not read."""
        conv, stored = self.conv, self.conv.stored_modes
        axes = [_full_axis(*numbers) for numbers in zip(shape[:-1], conv.n_modes[:-1], stored[:-1], strict=True)]
        if all(np.array_equal(rows, own) and np.array_equal(read, written) for rows, own, read, written in axes):
            return conv(u)
        last = np.arange(min(shape[-1], conv.n_modes[-1]) // 2 + 1)
        rows, read, written = (np.ix_(*(axis[which] for axis in axes), last) for which in (0, 2, 3))
        space = range(1, u.ndim)
        spectrum = jnp.fft.rfftn(u, axes=space, norm="forward")
        parts = conv.dense_weight()
        spectral = (parts[0] + 1j * parts[1])[rows]
        product = "...o,o...->o..." if conv.separable else "...io,i...->o..."
        mixed = jnp.einsum(product, spectral, spectrum[(slice(None), *read)], precision="highest")
        placed = jnp.zeros((len(mixed), *spectrum.shape[1:]), mixed.dtype).at[(slice(None), *written)].set(mixed)
        v = jnp.fft.irfftn(placed, s=shape, axes=space, norm="forward")
        return v if conv.bias is None else v + conv.bias.reshape(-1, *(1,) * len(shape))


def _full_axis(points: int, n_modes: int, stored: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """On one full axis: rows of the weight that the original uses and those it should; bins of the spectrum read and written."""
    kept = min(points, n_modes)
    wavenumbers = np.arange(kept) - kept // 2
    rows = (stored - kept) // 2 + np.arange(kept)
    return rows, stored // 2 + wavenumbers, wavenumbers % points, (wavenumbers - points % 2) % points


def port_neuraloperator_fno(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> NeuralOperatorFNO:
    """The network that neuraloperator's `FNO(**config)` with this state dict is.

    Ratios above 1 and Tucker ranks beyond the sizes of the tensor, which `FNO` refuses and the original has, are read as well:
    such a factor goes into the core, which changes nothing but round-off.
    """
    full = read_config(_FAMILY, config, _DEFAULTS, _REQUIRED)
    _refuse_unsupported(full)
    model = eqx.filter_eval_shape(FNO, **_options(full), key=jax.random.key(0))
    places = _places(full, model)
    shapes = {name: shape for name, (shape, _) in places.items()} | wide_shapes(full)
    spectral = [name for name in shapes if ".weight." in name]
    state_dict = join_parts(state_dict, spectral) if _is_split(full) else state_dict
    arrays: dict[str, Any] = {**read_state(_FAMILY, state_dict, shapes, spectral=spectral, ignored=("_metadata",))}
    channels = 1 if full["separable"] else 2
    for name in spectral:
        if name.endswith(".tensor"):  # (in, out, *modes), or (channels, *modes) if separable
            arrays[name] = arrays[name].transpose(*range(channels, arrays[name].ndim), *range(channels))
    narrow(full, arrays)
    for name in spectral:
        arrays[name] = split_complex(arrays[name])
    return NeuralOperatorFNO(fill(model, {name: where for name, (_, where) in places.items()}, arrays))


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for what the original computes wrongly, or this library does not do."""
    for name in ("in_channels", "out_channels", "hidden_channels", "n_layers"):
        if not _positive(config[name]):
            raise ConfigError(f"{_FAMILY}: {name} must be a positive integer, got {config[name]!r}.")
    if not isinstance(config["n_modes"], list | tuple) or not all(map(_positive, config["n_modes"])):
        raise ConfigError(f"{_FAMILY}: n_modes must be a list of positive integers, got {config['n_modes']!r}.")
    dims = len(config["n_modes"])
    one_of(f"{_FAMILY}: factorization", _lower(config["factorization"]), (None, *_FACTORIZATIONS), ConfigError)
    one_of(f"{_FAMILY}: implementation", config["implementation"], ("factorized", "reconstructed"), ConfigError)
    if config["complex_data"]:
        raise ConfigError(
            f"{_FAMILY}: complex_data is not supported, because the original mixes up wavenumbers on complex fields and its "
            "weights hold no meaning elsewhere; train a new network with real and imaginary part as channels."
        )
    if any(factor != 1 for factor in _flat(config["resolution_scaling_factor"])):
        raise ConfigError(
            f"{_FAMILY}: resolution_scaling_factor {config['resolution_scaling_factor']} is not supported, because the original "
            "moves negative wavenumbers to other ones when the size changes; train a new network with output_scaling."
        )
    if config["fno_block_precision"] != "full":
        raise ConfigError(
            f"{_FAMILY}: fno_block_precision {config['fno_block_precision']!r} is not supported; the weights are the same for "
            "'full', so set that to evaluate them in full precision."
        )
    one_of(f"{_FAMILY}: norm", config["norm"], (None, "instance_norm", "group_norm"), ConfigError)
    one_of(f"{_FAMILY}: positional_embedding", config["positional_embedding"], ("grid", None), ConfigError)
    one_of(f"{_FAMILY}: stabilizer", config["stabilizer"], (None, "tanh"), ConfigError)
    for name in ("fno_skip", "channel_mlp_skip"):
        one_of(f"{_FAMILY}: {name}", _lower(config[name]), tuple(_BYPASSES), ConfigError)
    kept, stored = columns(config["n_modes"]), stored_columns(config)
    if len(stored) != dims or any(k > s for k, s in zip(kept, stored, strict=True)):
        raise ConfigError(
            f"{_FAMILY}: max_n_modes {config['max_n_modes']} does not hold n_modes {config['n_modes']}, which need "
            f"{list(kept)} (the original halves the last of n_modes, not of max_n_modes); give at least that."
        )
    padding = config["domain_padding"]
    if not (padding is None or isinstance(padding, int | float) or (isinstance(padding, list) and len(padding) == dims)):
        raise ConfigError(f"{_FAMILY}: domain_padding must be a number or a list of {dims} numbers, got {padding!r}.")


_FACTORIZATIONS = {f"{prefix}{name}" for name in ("dense", "cp", "tucker", "tt") for prefix in ("", "complex")}
_BYPASSES = {"linear": "linear", "identity": "identity", "soft-gating": "soft_gating", None: "none"}


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of this library's FNO that build the same network."""
    stored, padding = stored_columns(config), config["domain_padding"]
    fractions = padding if isinstance(padding, list) else [padding or 0.0] * len(config["n_modes"])
    return {
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "n_modes": tuple(config["n_modes"]),
        "max_n_modes": None
        if config["max_n_modes"] is None
        else (*stored[:-1], max(2 * (stored[-1] - 1), config["n_modes"][-1])),
        "width": config["hidden_channels"],
        "depth": config["n_layers"],
        "lifting_ratio": float(config["lifting_channel_ratio"]),
        "projection_ratio": float(config["projection_channel_ratio"]),
        "channel_mlp": config["use_channel_mlp"],
        "channel_mlp_expansion": float(config["channel_mlp_expansion"]),
        "bypass": _BYPASSES[_lower(config["fno_skip"])],
        "channel_mlp_bypass": _BYPASSES[_lower(config["channel_mlp_skip"])],
        "activation": getattr(config["non_linearity"], "__name__", config["non_linearity"]),
        "norm": config["norm"] and config["norm"].removesuffix("_norm"),
        "preactivation": config["preactivation"],
        "stabilizer": config["stabilizer"],
        "separable": config["separable"],
        **low_rank_options(config),
        "repeat_activation": not config["use_channel_mlp"],
        "padding": tuple(map(float, fractions)) if sum(fractions) > 0 else None,
        "coordinates": config["positional_embedding"] == "grid",
    }


def _is_split(config: Mapping[str, Any]) -> bool:
    """Whether complex weights are stored as real ones with a last axis of two."""
    return (config["factorization"] or "").lower().startswith("complex")


_Places = dict[str, tuple[tuple[int, ...], Callable[[FNO], Any]]]


def _places(config: Mapping[str, Any], model: FNO) -> _Places:
    """Every entry of the state dict, its shape there, and the leaf of the operator that it becomes."""
    width, dims = config["hidden_channels"], len(config["n_modes"])
    lifted = config["in_channels"] + (dims if config["positional_embedding"] else 0)
    hidden = int(config["lifting_channel_ratio"] * width)
    places = _mlp("lifting", (lifted, hidden, width) if hidden else (lifted, width), lambda m: m.lifting)
    projected = int(config["projection_channel_ratio"] * width)
    places |= _mlp("projection", (width, projected, config["out_channels"]), lambda m: m.projection)
    for index in range(config["n_layers"]):
        places |= _block_places(config, index, model.blocks[index].conv.weight, width, dims)
    return places


def _block_places(config: Mapping[str, Any], index: int, weight: Any, width: int, dims: int) -> _Places:
    def block(m: FNO) -> Any:
        return m.blocks[index]

    conv = f"fno_blocks.convs.{index}"
    places: _Places = {f"{conv}.bias": ((width, *(1,) * dims), lambda m: block(m).conv.bias)}
    if isinstance(weight, AbstractSpectralWeight):
        places |= _factor_places(f"{conv}.weight", weight, lambda m: block(m).conv.weight)
    else:
        channels = (width,) if config["separable"] else (width, width)
        places[f"{conv}.weight.tensor"] = (*channels, *stored_columns(config)), lambda m: block(m).conv.weight
    places |= _skip(f"fno_blocks.fno_skips.{index}", config["fno_skip"], width, dims, lambda m: block(m).bypass)
    if config["use_channel_mlp"]:
        hidden = round(width * config["channel_mlp_expansion"])
        places |= _mlp(f"fno_blocks.channel_mlp.{index}", (width, hidden, width), lambda m: block(m).mlp)
        name = f"fno_blocks.channel_mlp_skips.{index}"
        places |= _skip(name, config["channel_mlp_skip"], width, dims, lambda m: block(m).mlp_bypass)
    if config["norm"] == "group_norm":
        for which in (0, 1):
            name = f"fno_blocks.norm.{2 * index + which}"
            places[f"{name}.weight"] = (width,), lambda m, which=which: block(m).norms[which].scale
            places[f"{name}.bias"] = (width,), lambda m, which=which: block(m).norms[which].shift
    return places


def _factor_places(name: str, weight: AbstractSpectralWeight, where: Callable[[FNO], Any]) -> _Places:
    """The factors, and the core or the weights of the terms, which have the shapes and the order of the original."""
    places: _Places = {}
    for own, theirs in (("scales", "weights"), ("core", "core")):
        if hasattr(weight, own):
            places[f"{name}.{theirs}"] = getattr(weight, own)[0].shape, lambda m, own=own: getattr(where(m), own)
    for mode, (real, _) in enumerate(weight.factors):
        places[f"{name}.factors.factor_{mode}"] = real.shape, lambda m, i=mode: where(m).factors[i]
    return places


def _mlp(name: str, sizes: Sequence[int], where: Callable[[FNO], Any]) -> _Places:
    """A pointwise network: convolutions of kernel size 1 with a bias."""
    places: _Places = {}
    for layer, (read, written) in enumerate(zip(sizes, sizes[1:], strict=False)):
        places[f"{name}.fcs.{layer}.weight"] = (written, read, 1), lambda m, i=layer: where(m).layers[i].weight
        places[f"{name}.fcs.{layer}.bias"] = (written,), lambda m, i=layer: where(m).layers[i].bias
    return places


def _skip(name: str, kind: str | None, width: int, dims: int, where: Callable[[FNO], Any]) -> _Places:
    if _lower(kind) == "linear":
        return {f"{name}.conv.weight": ((width, width, 1), lambda m: where(m).weight)}
    if _lower(kind) == "soft-gating":
        return {f"{name}.weight": ((1, width, *(1,) * dims), lambda m: where(m).scale)}
    return {}


def _positive(number: Any) -> bool:
    return isinstance(number, int) and number >= 1


def _lower(name: str | None) -> str | None:
    return name.lower() if isinstance(name, str) else name


def _flat(factors: Any) -> list[int | float]:
    if isinstance(factors, list):
        return [number for factor in factors for number in _flat(factor)]
    return [] if factors is None else [factors]
