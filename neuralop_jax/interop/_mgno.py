"""The multigrid neural operators of He, Liu and Xu: Darcy, Navier-Stokes and Helmholtz models, and their V-cycles alone."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.errors import ModelInputError
from neuralop_jax.interop._mgno_config import read_original
from neuralop_jax.interop._mgno_state import read_places
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, read_state
from neuralop_jax.layers._multigrid_conv import level_shapes
from neuralop_jax.models import MgNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer

_FAMILY = "mgno"


class HeMgNO(AbstractPorted):
    """One of the classes of MgNO's `models.py`, from `(B, C, X, Y)` to `(B, C, X, Y)`.

    The originals can run on some grids only: prolongation kernels of four points want an even size on every level but the last,
    kernels of three an odd one, and layer normalization is written for 64 by 64 or 101 by 101 points. This callable refuses
    other grids; `model` takes any grid, unless its norms have weights.

    A normalizer that decodes the output by one mean and one deviation is in `model`, which is then `Normalized`. Of one with a
    mean and a deviation for each point, which is of one grid, they are `shift` and `scale`, and `model` returns what comes before
    it. A Helmholtz model with either also drops all axes of size one from its output, as the original does.

    **Source:** He, Liu, Xu 2023, arXiv:2310.19809, `models.py` of github.com/xlliu2017/MgNO.

    !!! example

        ```python
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"cls": "MgNO_DC", "num_layer": 1, "num_channel_u": 1, "num_channel_f": 1, "num_classes": 1}
        config |= {"num_iteration": [[1, 0]], "activation": "relu"}  # one level with one smoothing step, u = S f
        state = {"conv_list.0.layer0.0.S.weight": np.ones((1, 1, 3, 3)), "linear.weight": np.ones((1, 1, 1, 1))}
        state |= {"linear_list.0.weight": np.zeros((1, 1, 1, 1)), "linear_list.0.bias": np.zeros(1)}
        mgno = from_torch("mgno", config, state)
        neighbors = [[4, 6, 4], [6, 9, 6], [4, 6, 4]]  # zeros beyond the edge
        assert jnp.allclose(mgno(x=jnp.ones((1, 1, 3, 3)))[0, 0], jnp.asarray(neighbors))
        ```
    """

    model: MgNO | Normalized
    shift: Float[Array, "..."] | None
    scale: Float[Array, "..."] | None
    grid: tuple[int, ...] | None = eqx.field(static=True)
    squeezed: bool = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: where that decodes its output point by point."""
        return "" if self.scale is None else "the original decodes the output of .model by a mean and a deviation for each point"

    @eqx.filter_jit
    def __call__(self, x: Float[Array, "batch *layout"]) -> Float[Array, "..."]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout, or on a grid on which the original fails.
        """
        if x.ndim != 4 or x.shape[1] != self.model.in_channels:
            raise ModelInputError(f"{_FAMILY}: x has shape {x.shape}, wanted (batch, {self.model.in_channels}, x, y).")
        self._check_grid(x.shape[2:])
        y = self.model.batched(x)
        y = jnp.squeeze(y) if self.squeezed else y
        if self.shift is None or self.scale is None:
            return y
        rank = max(y.ndim, self.shift.ndim)
        y, shift, scale = (a.reshape((1,) * (rank - a.ndim) + a.shape) for a in (y, self.shift, self.scale))
        return y * jax.lax.stop_gradient(scale) + jax.lax.stop_gradient(shift)

    def _check_grid(self, shape: tuple[int, ...]) -> None:
        model: Any = self.model.model if isinstance(self.model, Normalized) else self.model
        if self.grid is not None and shape != self.grid:
            raise ModelInputError(f"{_FAMILY}: the original's norm is written for the grid {self.grid}, got {shape}; use .model.")
        shapes = level_shapes(shape, len(model.smoothing), model.restriction_padding)
        sizes = model.prolongation_size
        sizes = sizes if isinstance(sizes, tuple) else (sizes,) * (len(shapes) - 1)
        for fine, coarse, size in zip(shapes[:-1], shapes[1:], sizes, strict=True):
            reached = tuple(2 * (n - 1) + size - 2 * model.restriction_padding for n in coarse)
            if reached != fine:
                raise ModelInputError(
                    f"{_FAMILY}: the original prolongs the {coarse} points of a level to {reached}, not to {fine}, so it cannot "
                    f"take the grid {shape}; use .model."
                )


def port_mgno(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> HeMgNO:
    """The network that the original's class `config["cls"]` with this state dict is."""
    original = read_original(config)
    model = eqx.filter_eval_shape(MgNO, **original.options, key=jax.random.key(0))
    places = read_places(original, model)
    said = original.normalizer
    buffers = [] if said is None or "mean" in said else ["normalizer.mean", "normalizer.std"]
    shapes = places.shapes(model) | {name: np.shape(state_dict.get(name, ())) for name in buffers}
    ignored = [*places.ignored, "_metadata", *([] if said is None else ["normalizer.mean", "normalizer.std"])]
    ignored = [name for name in ignored if name not in buffers]
    arrays: dict[str, Any] = {**read_state(_FAMILY, state_dict, shapes, spectral=(), ignored=ignored)}
    shift = scale = None
    if said is not None:
        mean, std = [arrays.pop(name) for name in buffers] or [said["mean"], said["std"]]
        dtype = next(iter(arrays.values())).dtype
        shift, scale = jnp.asarray(mean, dtype), jnp.asarray(std, dtype) + jnp.asarray(said["eps"], dtype)
    for name in places.transposed:
        arrays[name] = arrays[name].swapaxes(0, 1)
    filled = fill(model, {name: places.leaves[name] for name in arrays}, arrays)
    if shift is not None and scale is not None and shift.size == scale.size == 1:
        decode = GaussianNormalizer(shift.reshape(1), scale.reshape(1), eps=0.0)
        filled, shift, scale = Normalized(filled, IdentityNormalizer(), decode), None, None
    return HeMgNO(filled, shift, scale, original.grid, original.squeezed and said is not None)
