"""Latent spectral models on grids, as in the repository of the paper and as in the later library of the same authors."""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._lsm_irregular import port_irregular_lsm
from neuralop_jax.interop._lsm_state import Places, affine, latent_network, read_latent_state
from neuralop_jax.interop._ported import AbstractPorted, batch_statistics
from neuralop_jax.interop._state import fill, read_config
from neuralop_jax.models import LSM

_FAMILY = "lsm"
_HEADS, _HIDDEN, _SCALES = 8, 128, 5
_RELEASED: dict[str, Any] = {  # of the command line that the original's constructor reads
    "model": None,
    "in_dim": 1,
    "out_dim": 1,
    "d_model": 32,
    "num_token": 4,
    "num_basis": 12,
    "patch_size": "3,3",
    "padding": "3,3",
    "bilinear": True,
    "train_mode": False,
}
_IRREGULAR: dict[str, Any] = _RELEASED | {
    "model": "LSM_Irregular_Geo",
    "modes1": 12,
    "modes2": 12,
    "s1": 96,
    "s2": 96,
    "code": True,
    "iphi_width": 32,
    "num_points": None,
}
_LIBRARY: dict[str, Any] = {
    "model": "LSM",
    "task": "steady",
    "geotype": "unstructured",
    "shapelist": None,
    "space_dim": 2,
    "fun_dim": 0,
    "out_dim": 1,
    "n_hidden": 64,
    "n_heads": 4,
    "act": "gelu",
    "unified_pos": 0,
    "ref": 8,
    "time_input": False,
    "modes": 12,
    "bilinear": True,
    "num_token": 4,
    "num_basis": 12,
    "s1": 96,
    "s2": 96,
    "train_mode": False,
}
_ACTIVATIONS = {"gelu": "gelu", "tanh": "tanh", "relu": "relu", "softplus": "softplus", "ELU": "elu", "silu": "silu"}


class ThumlLSM(AbstractPorted):
    """The LSM of the paper's repository, from `(B, X, Y, in_dim)` to `(B, X, Y, out_dim)`, or with three axes.

    With `train_mode` batch norm takes the statistics of the batch, as the original does in `train()`. Where the original cannot
    run, its patches do not divide the grid, this callable refuses.

    **Source:** Wu et al. 2023, arXiv:2301.12664, `models/LSM_2D.py` and `models/LSM_3D.py` of thuml/Latent-Spectral-Models.

    !!! example

        ```python
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import ThumlLSM
        from neuralop_jax.models import LSM

        options = {"in_channels": 1, "out_channels": 1, "num_dims": 2, "width": 8, "num_scales": 1, "norm": "batch"}
        empty = eqx.filter_eval_shape(LSM, **options, key=jax.random.key(0))
        model = jax.tree.map(lambda leaf: jnp.asarray(np.full(leaf.shape, 0.1)), empty)
        x = np.cos(np.arange(32.0)).reshape(2, 4, 4, 1)
        other = np.stack([x[0], 2 * x[1]])  # with another second sample
        for train_mode in (False, True):
            original = ThumlLSM(model, train_mode)  # or from_torch("lsm", config, state_dict)
            assert np.allclose(original(x=x)[0], original(x=other)[0], rtol=1e-4) != train_mode
        ```
    """

    model: LSM
    train_mode: bool = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: in training."""
        return batch_statistics(self.train_mode)

    @eqx.filter_jit
    def __call__(self, x: Float[Array, "batch *layout"]) -> Float[Array, "batch *out_layout"]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout, or a grid on which the original fails.
        """
        if x.ndim != self.model.num_dims + 2 or x.shape[-1] != self.model.in_channels:
            axes = ", ".join("xyz"[: self.model.num_dims])
            raise ModelInputError(f"{_FAMILY}: x has shape {x.shape}, wanted (batch, {axes}, {self.model.in_channels}).")
        return _from_native(_evaluate(self.model, _to_native(x), self.train_mode))


class NeuralSolverLSM(AbstractPorted):
    """The LSM of the later library on a structured grid, from points `(B, N, space_dim)` and values `(B, N, fun_dim)`
    to `(B, N, out_dim)`; the $N$ points are those of the grid `shapelist`, the last axis fastest.

    The points are the first input channels, the values the others. With `unified_pos` the points are not read: the distances of
    those of an even grid to the `ref` points per axis of a coarse one, over the same unit box, take their place.

    **Source:** `models/LSM.py` of thuml/Neural-Solver-Library.

    !!! example

        ```python
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import NeuralSolverLSM
        from neuralop_jax.models import LSM

        options = {"in_channels": 3, "out_channels": 1, "num_dims": 1, "width": 8, "num_scales": 1, "coordinates": False}
        empty = eqx.filter_eval_shape(LSM, **options, key=jax.random.key(0))
        model = jax.tree.map(lambda leaf: jnp.asarray(np.cos(np.arange(leaf.size)).reshape(leaf.shape)), empty)
        # As from_torch makes it of "shapelist": [4], "space_dim": 1, "fun_dim": 1, "unified_pos": 1, "ref": 2:
        original = NeuralSolverLSM(model, shape=(4,), num_points=1, reference=2, train_mode=False)
        x, fx = np.linspace(0, 1, 4), np.arange(4.0)
        y = original(x=x[None, :, None], fx=fx[None, :, None])[0, :, 0]
        assert jnp.allclose(y, eqx.filter_jit(model)(np.stack([x, 1 - x, fx]))[0], rtol=1e-4)
        ```
    """

    model: LSM
    shape: tuple[int, ...] = eqx.field(static=True)
    num_points: int = eqx.field(static=True)
    reference: int = eqx.field(static=True)
    train_mode: bool = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: in its first channels, and in training."""
        anchors = self.reference ** len(self.shape)
        channels = f"the first channels of .model ({anchors}) are distances, which the original computes with unified_pos"
        said = [channels if self.reference else "", batch_statistics(self.train_mode and self.model.norm == "batch")]
        return "; ".join(filter(None, said))

    @eqx.filter_jit
    def __call__(
        self, x: Float[Array, "batch points dimensions"], fx: Float[Array, "batch points values"] | None = None
    ) -> Float[Array, "batch points out"]:
        """The output `(B, N, out_dim)` of the original for a batch of points and, unless `fun_dim` is 0, values.

        **Raises:** `ModelInputError` for another layout.
        """
        values = self.model.in_channels - (self.reference ** len(self.shape) if self.reference else self.num_points)
        points = math.prod(self.shape)
        found = None if fx is None else fx.shape
        if x.shape[1:] != (points, self.num_points) or (fx is None) == (values > 0) or (fx is not None and fx.shape[2] != values):
            raise ModelInputError(
                f"{_FAMILY}: x {x.shape} and fx {found} do not fit, wanted (batch, {points}, {self.num_points}) and "
                f"{f'(batch, {points}, {values})' if values else 'none'}."
            )
        if self.reference:
            x = jnp.broadcast_to(
                jnp.asarray(_distances(self.shape, self.reference), x.dtype), (len(x), points, self.reference ** len(self.shape))
            )
        inputs = x if fx is None else jnp.concatenate([x, fx], -1)
        u = jnp.moveaxis(inputs, -1, 0).reshape(-1, len(x), *self.shape)
        v = _evaluate(self.model, u, self.train_mode)
        return jnp.moveaxis(v.reshape(*v.shape[:2], points), 0, -1)


def port_lsm(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> AbstractPorted:
    """The network that the original's `Model(args)` with this state dict is; `n_hidden` marks the later library.

    The deformation network of the irregular variant is a module of its own in the original: its entries are those of
    `IPHI(iphi_width)`, behind `iphi.`; `code` says whether it is called with one. `num_points`, which the original does not
    have, is the number of points of its training data: for it sums become the means of `IrregularLSM`.
    """
    if "n_hidden" in config:
        return _port_library(read_config(_FAMILY, config, _LIBRARY, ()), state_dict)
    if config.get("model") == "LSM_Irregular_Geo":
        full = read_config(_FAMILY, config, _IRREGULAR, ())
        _only_linear(full)
        patch = _numbers("patch_size", full["patch_size"])
        return port_irregular_lsm(full, state_dict, patch=patch, scales=_SCALES, heads=_HEADS)
    return _port_released(read_config(_FAMILY, config, _RELEASED, ()), state_dict)


def _port_released(full: dict[str, Any], state_dict: Mapping[str, Any]) -> ThumlLSM:
    _only_linear(full)
    patch, padding = (_numbers(name, full[name]) for name in ("patch_size", "padding"))
    kind = full["model"] or f"LSM_{len(patch)}D"
    one_of(f"{_FAMILY}: model", kind, ("LSM_2D", "LSM_3D"), ConfigError)
    dims = 2 if kind == "LSM_2D" else 3
    if len(patch) < dims or len(padding) < dims:
        raise ConfigError(f"{_FAMILY}: patch_size and padding need {dims} numbers, got {patch} and {padding}.")
    patch, padding = patch[:dims], padding[:dims][::-1] if any(padding) else (0,) * dims
    _all_or_none(padding, f"padding {full['padding']!r}")
    model = eqx.filter_eval_shape(
        LSM,
        in_channels=full["in_dim"],
        out_channels=full["out_dim"],
        num_dims=dims,
        width=full["d_model"],
        num_tokens=full["num_token"],
        num_basis=full["num_basis"],
        num_heads=_HEADS,
        patch=patch,
        padding=padding,
        norm="batch",
        key=jax.random.key(0),
    )
    places = affine("fc0", lambda m: m.lifting.layers[0], model) | _projection(model)
    return ThumlLSM(_filled(model, places, state_dict), bool(full["train_mode"]))


def _port_library(full: dict[str, Any], state_dict: Mapping[str, Any]) -> NeuralSolverLSM:
    _only_linear(full)
    if full["geotype"] == "unstructured" or not full["shapelist"]:
        raise ConfigError(f"{_FAMILY}: geotype {full['geotype']!r} with shapelist {full['shapelist']} is not supported.")
    if full["time_input"]:
        raise ConfigError(f"{_FAMILY}: time_input is not supported. Append the time to fx as a channel, and train again.")
    one_of(f"{_FAMILY}: act", full["act"], _ACTIVATIONS, ConfigError)
    shape, width = tuple(full["shapelist"]), full["n_hidden"]
    padding = tuple(-n % 16 for n in shape)
    _all_or_none(padding, f"shapelist {shape}")
    if len(shape) == 1 and padding[0]:
        raise ConfigError(f"{_FAMILY}: shapelist {shape} is not supported: in one dimension the original needs a multiple of 16.")
    reference = full["ref"] if full["unified_pos"] else 0
    model = eqx.filter_eval_shape(
        LSM,
        in_channels=full["fun_dim"] + (reference ** len(shape) if reference else full["space_dim"]),
        out_channels=full["out_dim"],
        num_dims=len(shape),
        width=width,
        num_tokens=full["num_token"],
        num_basis=full["num_basis"],
        num_heads=full["n_heads"],
        norm="batch" if full["task"] == "steady" else "instance",
        coordinates=False,
        lifting_channels=2 * width,
        lifting_activation=_ACTIVATIONS[full["act"]],
        projection_channels=2 * width,
        key=jax.random.key(0),
    )
    places = affine("preprocess.linear_pre.0", lambda m: m.lifting.layers[0], model)
    places |= affine("preprocess.linear_post", lambda m: m.lifting.layers[1], model) | _projection(model)
    model = _filled(model, places, state_dict)
    return NeuralSolverLSM(model, shape, full["space_dim"], reference, bool(full["train_mode"]))


def _filled(model: LSM, places: Places, state_dict: Mapping[str, Any]) -> LSM:
    places = places | latent_network(model, lambda m: m.network)
    return fill(model, *read_latent_state(_FAMILY, state_dict, places, _SCALES))


def _projection(model: LSM) -> Places:
    return affine("fc1", lambda m: m.projection.layers[0], model) | affine("fc2", lambda m: m.projection.layers[1], model)


def _to_native(x: Array) -> Array:
    """`(batch, *space, channels)` to `(channels, batch, *space)`."""
    return jnp.moveaxis(x, -1, 0)


def _from_native(v: Array) -> Array:
    return jnp.moveaxis(v, 0, -1)


def _evaluate(model: LSM, u: Array, train_mode: bool) -> Array:
    return model.evaluate(u, key=jax.random.key(0) if train_mode else None)


def _distances(shape: tuple[int, ...], reference: int) -> np.ndarray:
    """The distances of the points of a grid to those of a coarse grid over the same unit box, `(points, reference**d)`."""
    grid = lambda sizes: np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in sizes], indexing="ij"), -1)
    points, anchors = (grid(sizes).reshape(-1, len(shape)) for sizes in (shape, (reference,) * len(shape)))
    return np.sqrt(np.sum((points[:, None] - anchors) ** 2, -1))


def _only_linear(full: Mapping[str, Any]) -> None:
    if not full["bilinear"]:
        raise ConfigError(f"{_FAMILY}: bilinear=False is not supported: up-sampling is linear here. Train with bilinear=True.")


def _all_or_none(padding: tuple[int, ...], found: str) -> None:
    if any(padding) and not all(padding):
        raise ConfigError(
            f"{_FAMILY}: {found} is not supported: the original crops an axis without padding to nothing; pad all axes or none."
        )


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    """The whole numbers of a text such as "3,3"."""
    try:
        numbers = tuple(int(part) for part in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise ConfigError(f'{_FAMILY}: {name} must be whole numbers such as "3,3", got {value!r}.') from None
    if any(n < 0 for n in numbers):
        raise ConfigError(f"{_FAMILY}: {name} must not be negative, got {value!r}.")
    return numbers
