"""The latent spectral model for point clouds of the paper's repository, with its deformation network."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._lsm_state import affine, latent_network, read_latent_state
from neuralop_jax.interop._ported import AbstractPorted, batch_statistics
from neuralop_jax.interop._state import fill, join_parts, split_complex
from neuralop_jax.kernels import modes_to_points
from neuralop_jax.models import IrregularLSM

_FAMILY = "lsm"
_IPHI, _CODE = "iphi.", 42
_SIDES: dict[str, Callable[[Any], Any]] = {"in": lambda m: m.to_grid.weight, "out": lambda m: m.to_points.weight}


class ThumlIrregularLSM(AbstractPorted):
    """`LSM_Irregular_Geo` of the paper's repository, from values `(B, N, in_dim)` at points `(B, N, 2)` to `(B, M, out_dim)`.

    Called like the original: without `x_in` the values are the points, without `x_out` the output is wanted there; a deformation
    that reads parameters of the geometry needs them as `code`, `(B, 42)`. Two things differ from `.model`: sums over points are
    not divided by their number, for which `.model` has that of the training data, `num_points` of the configuration, in its
    weights; and $\\overline{\\hat u_k}$ is evaluated at the wavenumber $-k - e_1$ instead of $-k$.

    **Source:** Wu et al. 2023, arXiv:2301.12664, `models/LSM_Irregular_Geo.py` of thuml/Latent-Spectral-Models.

    !!! example

        ```python
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import ThumlIrregularLSM
        from neuralop_jax.models import IrregularLSM

        options = {"width": 8, "n_modes": (2, 2), "latent_shape": (4, 4), "num_scales": 1, "deformation_width": 0}
        empty = eqx.filter_eval_shape(IrregularLSM, in_channels=1, out_channels=1, **options, key=jax.random.key(0))
        model = jax.tree.map(lambda leaf: jnp.asarray(np.cos(np.arange(leaf.size)).reshape(leaf.shape)), empty)
        original = ThumlIrregularLSM(model, num_points=5, train_mode=False)  # or from_torch
        u, x, x_out = np.arange(5.0).reshape(1, 5, 1), np.arange(10.0).reshape(1, 5, 2) / 10, np.ones((1, 3, 2)) / 3
        y, turned = original(x=u, x_in=x, x_out=x_out), original(x=u[:, ::-1], x_in=x[:, ::-1], x_out=x_out)
        assert y.shape == (1, 3, 1) and np.allclose(y, turned, rtol=1e-4)  # the order of the points does not matter
        assert "for 5 points" in original.difference
        ```
    """

    model: IrregularLSM
    num_points: int | None = eqx.field(static=True)
    train_mode: bool = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: its sums over points, its synthesis, and in training."""
        points, known = math.prod(self.model.latent_shape), self.num_points
        number = f"{points} points, for lack of the option num_points" if known is None else f"{known} points"
        said = [f"sums over points are means in .model, equal to the original's for {number}"]
        said += ["the original evaluates the conjugate of each coefficient one wavenumber off", batch_statistics(self.train_mode)]
        return "; ".join(filter(None, said))

    @eqx.filter_jit
    def __call__(
        self,
        x: Float[Array, "batch points channels"],
        code: Float[Array, "batch parameters"] | None = None,
        x_in: Float[Array, "batch in_points 2"] | None = None,
        x_out: Float[Array, "batch out_points 2"] | None = None,
    ) -> Float[Array, "batch out_points out_channels"]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout.
        """
        model, wanted = self.model, (*x.shape[:2], 2)
        points = x if x_in is None else x_in
        if x.ndim != 3 or x.shape[2] != model.in_channels or points.shape != wanted:
            raise ModelInputError(
                f"{_FAMILY}: x {x.shape} and x_in {points.shape} do not fit, wanted (batch, points, {model.in_channels}) and "
                f"{wanted}."
            )
        if (model.num_parameters > 0) != (code is not None):
            found = None if code is None else code.shape
            raise ModelInputError(f"{_FAMILY}: the deformation reads {model.num_parameters} parameters; got code {found}.")
        first = lambda a: jnp.moveaxis(a, -1, 0)  # noqa: E731
        outputs = first(points if x_out is None else x_out)
        moved, shape = model.deformed(first(points), code), model.latent_shape
        v = model.lifting(first(x)) * (x.shape[1] / (self.num_points or math.prod(shape)))
        v = model.latent(model.to_grid(v, moved, shape), training=self.train_mode)
        v = _published_values(model.to_points.coefficients(v), model.deformed(outputs, code))
        return jnp.moveaxis(model.projection(v + model.point_coordinates(outputs)), 0, -1)


def _published_values(c: Float[Array, "2 k1 k2 batch channels"], x: Float[Array, "2 batch points"]) -> Array:
    r"""$\operatorname{Re}\big[\sum_k \hat u_k e^{2\pi i k \cdot x} + \sum_{k_2 > 0} \hat u_k e^{2\pi i (k + e_1) \cdot x}\big]$:
    the mean of the coefficients and those moved by one wavenumber takes the place of the coefficients."""
    rest = ((0, 0),) * (c.ndim - 2)
    here, moved = jnp.pad(c, ((0, 0), (0, 1), *rest)), jnp.pad(c, ((0, 0), (1, 0), *rest))
    return modes_to_points(jnp.concatenate([here[:, :, :1], (here + moved)[:, :, 1:] / 2], 2), x)


def port_irregular_lsm(
    full: Mapping[str, Any], state_dict: Mapping[str, Any], *, patch: tuple[int, ...], scales: int, heads: int
) -> ThumlIrregularLSM:
    """The network that `Model(args)` with this state dict is; entries that begin with `iphi.` are its deformation's.

    **Raises:** `CheckpointError` for other entries than those of the original; `ConfigError` if `num_points` is no such number.
    """
    number, latent = full["num_points"], full["s1"] * full["s2"]
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise ConfigError(f"{_FAMILY}: num_points must be the number of points of the training data, got {number!r}.")
    deformed = any(str(name).startswith(_IPHI) for name in state_dict)
    code = _CODE if deformed and full["code"] else 0
    unread = f"{_IPHI}{'fc_no_code' if code else 'fc_code'}."
    state = {name: value for name, value in state_dict.items() if not str(name).startswith(unread)}
    model = eqx.filter_eval_shape(
        IrregularLSM,
        in_channels=full["in_dim"],
        out_channels=full["out_dim"],
        width=full["d_model"],
        n_modes=(2 * full["modes1"], 2 * full["modes2"] - 2),
        latent_shape=(full["s1"], full["s2"]),
        num_scales=scales,
        num_tokens=full["num_token"],
        num_basis=full["num_basis"],
        num_heads=heads,
        patch=patch,
        norm="batch",
        deformation_width=full["iphi_width"] if deformed else 0,
        num_parameters=code,
        key=jax.random.key(0),
    )
    places = latent_network(model, lambda m: m.network)
    places |= affine("fc0", lambda m: m.lifting, model)
    places |= affine("fc1", lambda m: m.projection.layers[0], model) | affine("fc2", lambda m: m.projection.layers[1], model)
    places |= affine("convproject_in", lambda m: m.grid_coordinates, model, 2)
    places |= affine("convproject_out", lambda m: m.point_coordinates, model, 1)
    if deformed:
        places |= affine(f"{_IPHI}fc0", lambda m: m.deformation.features, model)
        places |= affine(f"{_IPHI}{'fc_code' if code else 'fc_no_code'}", lambda m: m.deformation.mix, model)
        for i in range(4):
            places |= affine(f"{_IPHI}fc{i + 1}", lambda m, i=i: m.deformation.network.layers[i], model)
    halves = (full["d_model"], full["d_model"], full["modes1"], full["modes2"])
    spectral = {f"fftproject_{side}.weights{i}": leaf for side, leaf in _SIDES.items() for i in (1, 2)}
    places |= {name: (halves, leaf) for name, leaf in spectral.items()}
    where, arrays = read_latent_state(_FAMILY, join_parts(state, spectral), places, scales, tuple(spectral))
    size = np.asarray(model.latent_shape)
    for side, leaf in _SIDES.items():
        name = f"fftproject_{side}.weights"
        positive, negative = (arrays.pop(f"{name}{i}") for i in (1, 2))
        # The original sums: over the points of the grid, and over those of the input, divided by the number of the former.
        scale = latent if side == "out" else 1 if number is None else number / latent
        weight = scale * np.concatenate([negative, positive], 2).transpose(2, 3, 0, 1)
        for part, values in zip(("real", "imaginary"), split_complex(weight), strict=True):
            arrays[f"{name}.{part}"] = values
            where[f"{name}.{part}"] = lambda m, leaf=leaf, part=part: leaf(m)[part == "imaginary"]
        del where[f"{name}1"], where[f"{name}2"]
    # There the coordinates of the grid reach 1, here the last point is one step before it.
    arrays["convproject_in.weight"] = arrays["convproject_in.weight"] * (size / (size - 1)).reshape(1, 2, 1, 1)
    return ThumlIrregularLSM(fill(model, where, arrays), number, bool(full["train_mode"]))
