"""Latent spectral models between scattered points: Fourier sums over deformed points lead to a latent grid and back."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import (
    ChannelMLP,
    Deformation,
    GridToPoints,
    LatentUNet,
    PointsToGrid,
    Pointwise,
    gelu,
    grid_points,
    patch_and_padding,
)
from neuralop_jax.models._base import AbstractOperator, check_input, check_parameters
from neuralop_jax.models._options import Depth, check_per_axis, check_sizes, sizes_of
from neuralop_jax.models._resolution import ResolutionClaim


class IrregularLSM(AbstractOperator):
    r"""A latent spectral model for functions on scattered points of the plane: $Q \circ S \circ U \circ G \circ P$.

    $P$ lifts the channels at every point. $G$ sums Fourier coefficients over the points, which a learned `Deformation` $\xi$ has
    moved, maps them by a weight per wavenumber, and adds an affine map of the coordinates of a latent grid:

    $$\hat v_k = R_k\, \frac1N \sum_n v(x_n)\, e^{-2\pi i k \cdot \xi(x_n)}$$

    $U$ is the U-shaped network of `LSM` on that grid. $S$ evaluates its coefficients, with weights of their own, at the deformed
    points of the output and adds an affine map of their coordinates; $Q$ projects through `projection_channels`. The number of
    points may differ from sample to sample and between input and output: a call takes the points `x` of the input, `(points, 2)`
    in units of the box, and the points `y` of the output, those of the input if left out. Without `x` the input is a field on a
    uniform grid on the unit box, the right ends left out.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `num_dims`: 2, the space axes.
    - `width`: $d$, a multiple of `num_heads`. *Good values:* 32.
    - `n_modes`: wavenumbers per axis of both sums, as in `SpectralConv`; on the first axis no more than the latent grid has
      points, on the last one fewer.
    - `latent_shape`: points per axis of the latent grid. *Good values:* a multiple of $2^{S-1}$.
    - `num_scales`, `num_tokens`, `num_basis`, `num_heads`, `frequencies`, `patch`, `norm`: as in `LSM`.
    - `projection_channels`: hidden channels of $Q$, whose activation is GELU.
    - `deformation_width`: features of the deformation; 0 leaves the points where they are.
    - `num_parameters`: length of the vector `p` that describes the geometry of a sample to the deformation; 0 for none.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` for points that do not fit the input.

    **Source:** Wu et al. 2023, arXiv:2301.12664, section 4, and `LSM_Irregular_Geo` of its published code, after Li et al. 2023,
    arXiv:2207.05209. Differs: a mean over the points where the original has a sum, so that their number does not matter; the
    original evaluates conjugates one wavenumber off along the first axis; group norm by default.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import IrregularLSM

        options = {"width": 8, "n_modes": (8, 8), "latent_shape": (16, 16), "num_scales": 3, "deformation_width": 8}
        model = IrregularLSM(in_channels=1, out_channels=1, num_dims=2, **options, key=jax.random.key(0))
        x, y = jax.random.uniform(jax.random.key(1), (2, 50, 2))
        compiled = eqx.filter_jit(model)
        assert compiled(jnp.ones((1, 50)), x=x).shape == (1, 50)
        assert compiled(jnp.ones((1, 50)), x=x, y=y[:7]).shape == (1, 7)
        ```
    """

    resolution = ResolutionClaim("none", "its sums over deformed points of a grid are integrals up to the spacing of the points")
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    n_modes: tuple[int, ...] = eqx.field(static=True)
    latent_shape: tuple[int, ...] = eqx.field(static=True)
    num_scales: int = eqx.field(static=True)
    num_tokens: int = eqx.field(static=True)
    num_basis: int = eqx.field(static=True)
    num_heads: int = eqx.field(static=True)
    frequencies: str = eqx.field(static=True)
    patch: int | tuple[int, ...] | None = eqx.field(static=True)
    norm: str = eqx.field(static=True)
    projection_channels: int = eqx.field(static=True)
    deformation_width: int = eqx.field(static=True)
    num_parameters: int = eqx.field(static=True)
    lifting: Pointwise
    deformation: Deformation | None
    to_grid: PointsToGrid
    grid_coordinates: Pointwise
    network: LatentUNet
    to_points: GridToPoints
    point_coordinates: Pointwise
    projection: ChannelMLP

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_dims: int = 2,
        width: int = 32,
        n_modes: Sequence[int] = (24, 22),
        latent_shape: Sequence[int] = (96, 96),
        num_scales: Depth = 5,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        frequencies: str = "released",
        patch: int | Sequence[int] | None = None,
        norm: str = "group",
        projection_channels: int = 128,
        deformation_width: int = 32,
        num_parameters: int = 0,
        key: PRNGKey,
    ):
        check_sizes(in_channels=in_channels, out_channels=out_channels, projection_channels=projection_channels)
        check_sizes(width=width, num_scales=num_scales, num_tokens=num_tokens, num_basis=num_basis, num_heads=num_heads)
        if deformation_width:
            check_sizes(deformation_width=deformation_width)
        if num_parameters:
            check_sizes(num_parameters=num_parameters)
        if num_dims != 2:
            raise ConfigError(f"num_dims must be 2: the deformation is one of the plane, got {num_dims}. Use LSM on grids.")
        n_modes, latent_shape = sizes_of("n_modes", n_modes), sizes_of("latent_shape", latent_shape)
        check_per_axis("latent_shape", latent_shape, 2, least=2, most=2**15, whole=True)
        check_per_axis("n_modes", n_modes, 2, least=1, most=2**15, whole=True)
        if any(m > n for m, n in zip(n_modes, latent_shape, strict=True)):
            raise ConfigError(f"n_modes {n_modes} must not be above latent_shape {latent_shape}. Lower n_modes.")
        if n_modes[1] == latent_shape[1]:
            raise ConfigError(
                f"the last of n_modes {n_modes} must be below that of latent_shape {latent_shape}: a sum at points "
                "would count the highest wavenumber of the grid twice. Lower n_modes."
            )
        if patch is not None:
            check_per_axis("patch", patch, 2, least=1, most=2**15, whole=True)
        if num_parameters and not deformation_width:
            raise ConfigError(f"num_parameters={num_parameters} are read by the deformation only. Give a deformation_width.")
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, width
        self.n_modes, self.latent_shape = n_modes, latent_shape
        self.num_scales, self.num_tokens, self.num_basis, self.num_heads = num_scales, num_tokens, num_basis, num_heads
        self.patch = tuple(patch) if isinstance(patch, Sequence) else patch
        self.frequencies, self.norm, self.projection_channels = frequencies, norm, projection_channels
        self.deformation_width, self.num_parameters = deformation_width, num_parameters
        keys = iter(jax.random.split(key, 8))
        self.lifting = Pointwise(in_channels, width, key=next(keys))
        first = next(keys)
        self.deformation = Deformation(deformation_width, num_parameters=num_parameters, key=first) if deformation_width else None
        self.to_grid = PointsToGrid(width, width, self.n_modes, key=next(keys))
        self.grid_coordinates = Pointwise(2, width, key=next(keys))
        self.network = LatentUNet(
            2,
            width,
            num_scales=num_scales,
            num_tokens=num_tokens,
            num_basis=num_basis,
            num_heads=num_heads,
            frequencies=frequencies,
            norm=norm,
            key=next(keys),
        )
        self.to_points = GridToPoints(width, width, self.n_modes, key=next(keys))
        self.point_coordinates = Pointwise(2, width, key=next(keys))
        self.projection = ChannelMLP((width, projection_channels, out_channels), key=next(keys))

    def evaluate(
        self,
        u: Float[Array, "in_channels *batch_points"],
        x: Float[Array, "2 *batch_or_points"],
        y: Float[Array, "2 *batch_or_out_points"] | None = None,
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Float[Array, "out_channels *batch_out_points"]:
        """The output at the points `y`, or `x`, for values at the points `x`; points are those of all samples or of each.

        With a `key` batch norms take the statistics of the samples.
        """
        moved = self.deformed(x, p)
        v = self.to_grid(self.lifting(u), moved, self.latent_shape)
        v = self.latent(v, training=key is not None)
        points, there = (x, moved) if y is None else (y, self.deformed(y, p))
        affine = self.point_coordinates(points.astype(v.dtype))
        shared = points.ndim < u.ndim
        v = self.to_points(v, there) + (jnp.expand_dims(affine, 1) if shared else affine)
        return self.projection(v)

    def deformed(
        self, x: Float[Array, "2 *batch_or_points"], p: Float[Array, "*batch parameters"] | None = None
    ) -> Float[Array, "2 *batch_points"]:
        r"""Where the Fourier series are summed for the points `x`: $\xi(x)$; with `p` for many samples, for each its own."""
        if self.deformation is None:
            return x
        if p is not None and p.ndim == 2 and x.ndim == 2:
            x = jnp.broadcast_to(x[:, None], (2, len(p), x.shape[1]))
        return self.deformation(x, p)

    def latent(self, v: Float[Array, "width *batch_space"], *, training: bool = False) -> Float[Array, "width *batch_space"]:
        """What the network on the latent grid makes of the field that the points left there."""
        grid = jnp.asarray(grid_points(self.latent_shape, endpoint=False), v.dtype).reshape(2, *self.latent_shape)
        affine = self.grid_coordinates(grid)
        v = gelu(v + (affine if v.ndim == 3 else jnp.expand_dims(affine, 1)))
        patch, padding = patch_and_padding(self.latent_shape, self.num_scales, self.patch, model="IrregularLSM")
        v = jnp.pad(v, ((0, 0),) * (v.ndim - 2) + tuple((0, w) for w in padding))
        return self.network(v, patch, training=training)[(..., *(slice(n) for n in self.latent_shape))]

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The output `(out_channels, points)` at `y`, or `x`, for `u` `(in_channels, points)`; without points on `u`'s grid."""
        self.check(u, x, y, p, batched=False)
        return self._at(u, x, y, p, key)

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The outputs of at least one sample; `x` and `y` are `(batch, points, 2)`, or `(points, 2)` for all samples."""
        self.check(u, x, y, p, batched=True)
        v = self._at(jnp.moveaxis(u, 0, 1), x, y, p, None if key is None else key[0])
        return jnp.moveaxis(v, 1, 0)

    def _at(self, u: Array, x: Array | None, y: Array | None, p: Array | None, key: PRNGKey | None) -> Array:
        inputs, outputs = (None if points is None else jnp.moveaxis(points, -1, 0) for points in (x, y))
        if inputs is not None:
            return self.evaluate(u, inputs, outputs, p, key=key)
        grid = jnp.asarray(grid_points(u.shape[-2:], endpoint=False), jnp.promote_types(u.dtype, jnp.float32))
        v = self.evaluate(u.reshape(*u.shape[:-2], -1), grid, outputs, p, key=key)
        return v if outputs is not None else v.reshape(*v.shape[:-1], *u.shape[-2:])

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """Raises `ModelInputError` unless points, parameters and values fit each other."""
        name = type(self).__name__
        if x is None and getattr(u, "ndim", 0) == 2 + batched:
            raise ModelInputError(f"{name} got values at points, u {tuple(u.shape)}, without the points. Give them as x=....")
        check_input(self, u, 2 if x is None else 1, batched=batched)
        for label, points, wanted in (("points x", x, u.shape[-1]), ("points y", y, None)):
            if points is None:
                continue
            shape = tuple(int(n) for n in getattr(points, "shape", ()))
            count = "points" if wanted is None else str(wanted)
            fits = (
                hasattr(points, "shape")
                and 0 not in shape
                and shape[-1:] == (2,)
                and (len(shape) == 2 or (batched and len(shape) == 3 and shape[0] == u.shape[0]))
            )
            if not fits or (wanted is not None and shape[-2] != wanted):
                each = f" or ({u.shape[0]}, {count}, 2)" if batched else ""
                found = f"shape {shape}" if hasattr(points, "shape") else f"{type(points).__name__}, no array"
                raise ModelInputError(f"{name} expects {label} ({count}, 2){each} for u {tuple(u.shape)}, got {found}.")
        if self.num_parameters:
            check_parameters(self, p, self.num_parameters, (u.shape[0],) if batched else ())
        elif p is not None:
            raise ModelInputError(
                f"{type(self).__name__} got parameters p {tuple(p.shape)} but reads none. Build it with num_parameters."
            )
