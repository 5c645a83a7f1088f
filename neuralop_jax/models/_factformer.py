"""The FactFormer: attention on grids, factorized into one kernel matrix per axis."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import is_known
from neuralop_jax.layers import FactorizedAttention, FourierFeatures, Pointwise
from neuralop_jax.layers._coarse_branch import CoarseBranch
from neuralop_jax.layers._latent_marching import FrameLifting
from neuralop_jax.models._factformer_heads import MarchingHead, SteadyHead
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import Depth, check_counts, check_per_axis, check_sizes
from neuralop_jax.models._rebuild import rebuilt
from neuralop_jax.models._resolution import FOLDED, ResolutionClaim


class FactFormer(AbstractGridOperator):
    r"""Blocks $u \leftarrow u + P_l\gamma_l(x)$, $u \leftarrow u + A_l(u)$ of factorized attention between lifting and head.

    $\gamma_l$ are random waves of the coordinates and $P_l$ is affine (see `FourierFeatures`); $A_l$ applies to each axis in turn
    a kernel matrix made of the field's projection on this axis (see `FactorizedAttention`), at a cost of $O(d\,n^{d+1})$ on $n^d$
    points. There are two heads: a steady one, and one that marches a latent field in time and emits several frames per call.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output. In time, frames are stacked along the channels, oldest first,
      as `rollout.window_rollout` does (with `frames=latent_steps`): channel $c$ of frame $t$ is number `t * channels + c`.
    - `num_dims`: space axes, 1 to 4.
    - `width`, `depth`: hidden channels, blocks. *Good values:* 128, 3 or 4. A marching head needs a width that is a multiple
      of 8.
    - `heads`, `head_width`, `kernel_multiplier`, `rotary`, `softmax`: as in `FactorizedAttention`.
    - `extent`: length of the box, one number or one per axis, in the unit that positions are encoded in. The published models
      take 1 for Darcy flow, $2\pi$ for turbulence, 8 for smoke.
    - `periodic`: excludes the end of each axis, rounds the wavenumbers of all position encodings to those of the box, and makes
      `branch` read the other end beyond the edge.
    - `feature_scale`: standard deviation of the wavenumbers of $\gamma_l$. *Good values:* 1, for turbulence 8.
    - `padding`: points of zeros after the end of each axis, inside the blocks.
    - `branch`: joins a `CoarseBranch` to the last block's output, as the published models for Darcy flow and smoke do; results
      then depend on the spacing of the grid.
    - `in_frames`: 0 lifts all channels by one affine map; otherwise the number of frames that `in_channels` holds, for a
      `FrameLifting`, as in the published models in three dimensions.
    - `latent_steps`: 0 for the steady head; otherwise the frames $S$ that one call emits, of `out_channels / S` channels each.
    - `max_latent_steps`: frames that the weights are stored for, at least `latent_steps` (see `with_latent_steps`).
    - `latent_ratio`: channels of the marched field over `width`. *Good values:* 1.5 or 2.
    - `norm_groups`: of the head's group norm.
    - `boundary_condition`: `"dirichlet"` returns exactly zero at the first and last point of each axis. Use normalizers of the
      output that keep zero (`"rms"`, `"identity"`).
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` when called with anything but one sample.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, in the form of the released code. Differs: `periodic`.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import FactFormer

        options = {"in_channels": 3, "out_channels": 2, "width": 16, "depth": 1, "heads": 2, "head_width": 8}
        model = FactFormer(**options, latent_steps=2, key=jax.random.key(0))  # three frames in, two out
        assert eqx.filter_jit(model)(jnp.ones((3, 16, 16))).shape == (2, 16, 16)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    head_width: int = eqx.field(static=True)
    kernel_multiplier: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)
    softmax: bool = eqx.field(static=True)
    extent: float | tuple[float, ...] = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)
    feature_scale: float = eqx.field(static=True)
    padding: int = eqx.field(static=True)
    branch: bool = eqx.field(static=True)
    in_frames: int = eqx.field(static=True)
    latent_steps: int = eqx.field(static=True)
    max_latent_steps: int | None = eqx.field(static=True)
    latent_ratio: float = eqx.field(static=True)
    norm_groups: int = eqx.field(static=True)
    boundary_condition: str | None = eqx.field(static=True)
    lifting: Pointwise | FrameLifting
    features: tuple[FourierFeatures, ...]
    positions: tuple[Pointwise, ...]
    attentions: tuple[FactorizedAttention, ...]
    coarse: CoarseBranch | None
    head: SteadyHead | MarchingHead

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_dims: int = 2,
        width: int = 128,
        depth: Depth = 4,
        heads: int = 8,
        head_width: int = 64,
        kernel_multiplier: int = 2,
        rotary: bool = True,
        softmax: bool = False,
        extent: int | float | Sequence[int | float] = 1.0,
        periodic: bool = False,
        feature_scale: int | float = 1.0,
        padding: int = 0,
        branch: bool = False,
        in_frames: int = 0,
        latent_steps: int = 0,
        max_latent_steps: int | None = None,
        latent_ratio: int | float = 2.0,
        norm_groups: int = 8,
        boundary_condition: str | None = None,
        key: PRNGKey,
    ):
        check_sizes(in_channels=in_channels, out_channels=out_channels, num_dims=num_dims, width=width, depth=depth)
        check_sizes(heads=heads, head_width=head_width, kernel_multiplier=kernel_multiplier, norm_groups=norm_groups)
        check_per_axis("padding", padding, 1, least=0, most=2**15, whole=True)
        check_per_axis("feature_scale", feature_scale, 1, least=0, most=1e6)
        check_counts(latent_steps=latent_steps, in_frames=in_frames)
        one_of("num_dims", num_dims, (1, 2, 3, 4), ConfigError)
        one_of("boundary_condition", boundary_condition, (None, "dirichlet"), ConfigError)
        if max_latent_steps is not None and not latent_steps:
            raise ConfigError(
                f"max_latent_steps {max_latent_steps} is for a head that marches. Set latent_steps, or leave it out."
            )
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, width
        self.depth, self.heads, self.head_width, self.kernel_multiplier = depth, heads, head_width, kernel_multiplier
        self.rotary, self.softmax, self.periodic, self.padding = rotary, softmax, periodic, padding
        self.extent = tuple(float(e) for e in extent) if isinstance(extent, Sequence) else float(extent)
        check_per_axis("extent", self.extent, num_dims, least=1e-6, most=1e6)
        self.feature_scale, self.latent_ratio = float(feature_scale), float(latent_ratio)
        self.branch, self.in_frames, self.norm_groups = branch, in_frames, norm_groups
        self.boundary_condition = boundary_condition
        self.latent_steps, self.max_latent_steps = latent_steps, max_latent_steps
        if width % 2:
            raise ConfigError(f"width must be even, half for sines and half for cosines of the coordinates, got {width}.")
        if periodic and padding:
            raise ConfigError(f"padding is for boxes that are not periodic, got padding={padding} and periodic. Drop one.")

        lifting_key, branch_key, head_key, *keys = jax.random.split(key, 3 + 3 * depth)
        lengths = self._lengths() if periodic else None
        self.lifting = self._lifting(lifting_key)
        self.features = tuple(
            FourierFeatures(num_dims, width, scale=self.feature_scale, extent=lengths, key=k) for k in keys[:depth]
        )
        self.positions = tuple(Pointwise(width, width, key=k) for k in keys[depth : 2 * depth])
        self.attentions = tuple(
            FactorizedAttention(
                num_dims,
                width,
                width,
                heads=heads,
                head_width=head_width,
                kernel_multiplier=kernel_multiplier,
                rotary=rotary,
                softmax=softmax,
                periods=lengths,
                key=k,
            )
            for k in keys[2 * depth :]
        )
        self.coarse = CoarseBranch(num_dims, width, periodic=periodic, key=branch_key) if branch else None
        joined = 2 * width if branch else width
        if latent_steps:
            self.head = MarchingHead(
                joined,
                out_channels,
                width,
                latent_steps=latent_steps,
                max_latent_steps=latent_steps if max_latent_steps is None else max_latent_steps,
                latent_ratio=self.latent_ratio,
                norm_groups=norm_groups,
                key=head_key,
            )
        else:
            self.head = SteadyHead(joined, out_channels, width, norm_groups=norm_groups, key=head_key)

    @property
    def resolution(self) -> ResolutionClaim:
        """On a periodic box, without layers that count in points, up to what is folded back."""
        if self.branch or self.padding or self.boundary_condition:
            return ResolutionClaim("none", "its branch, padding or boundary condition counts points of the grid, not lengths")
        if not self.periodic:
            return ResolutionClaim("none", "its means over points that include both ends are integrals up to the spacing")
        return ResolutionClaim("converges", FOLDED)

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The output for `(channels, *batch, *space)`; `p` is not read."""
        real = jnp.result_type(jnp.float32, u.dtype)
        space = u.shape[u.ndim - self.num_dims :]
        numbers = np if is_known(*space) else jnp
        coordinates = [
            numbers.arange(n + self.padding) * (length / numbers.asarray(n if self.periodic else max(n - 1, 1)))
            for length, n in zip(self._lengths(), space, strict=True)
        ]
        return self.at(u, [jnp.asarray(x, real) for x in coordinates])

    def at(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        coordinates: Sequence[Float[Array, " _points"]],
        weights: Sequence[Float[Array, " _points"]] | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The output on a grid with given coordinates on each axis, and quadrature weights if it is not uniform.

        **Arguments:**

        - `u`: as in `evaluate`.
        - `coordinates`, `weights`: one vector per axis; those of the points of `padding` come last.

        **Raises:** `ModelInputError` if their number is not that of the points.
        """
        space = u.shape[u.ndim - self.num_dims :]
        wanted, found = tuple(n + self.padding for n in space), tuple(x.shape[0] for x in coordinates)
        if wanted != found:
            raise ModelInputError(f"FactFormer needs coordinates of {wanted} points per axis, padding counted, got {found}.")
        v = self.lifting(u.reshape(len(u), -1, *space))
        v = jnp.pad(v, ((0, 0), (0, 0)) + ((0, self.padding),) * self.num_dims)
        for features, position, attention in zip(self.features, self.positions, self.attentions, strict=True):
            v = v + position(features(coordinates).astype(v.dtype))[:, None]
            v = v + attention(v, coordinates, weights)
        v = v[(..., *(slice(n) for n in space))]
        if self.coarse is not None:
            v = jnp.concatenate([self.coarse(v), v])
        w = self.head(v, self.latent_steps) if isinstance(self.head, MarchingHead) else self.head(v)
        if self.boundary_condition is not None:
            w = jnp.where(_interior(space).reshape((1, 1, *space)), w, 0)
        return w.reshape(len(w), *u.shape[1:])

    def with_latent_steps(self, latent_steps: int) -> "FactFormer":
        """The same operator, same weights, emitting another number of frames, up to those that the weights are stored for.

        A model that learns to emit more and more frames: see `losses.curriculum`.

        **Raises:** `ConfigError` for more frames, or a model with the steady head.
        """
        if not self.latent_steps:
            raise ConfigError(f"with_latent_steps({latent_steps}) needs a head that marches. Build the model with latent_steps.")
        stored = self.latent_steps if self.max_latent_steps is None else self.max_latent_steps
        if not 1 <= latent_steps <= stored:
            raise ConfigError(f"latent_steps must be from 1 to the stored {stored}, got {latent_steps}. Raise max_latent_steps.")
        channels = self.out_channels // self.latent_steps * latent_steps
        return rebuilt(self, latent_steps=latent_steps, max_latent_steps=stored, out_channels=channels)

    def _lengths(self) -> tuple[float, ...]:
        return self.extent if isinstance(self.extent, tuple) else (self.extent,) * self.num_dims

    def _lifting(self, key: PRNGKey) -> Pointwise | FrameLifting:
        if not self.in_frames:
            return Pointwise(self.in_channels, self.width, key=key)
        if self.in_channels % self.in_frames:
            raise ConfigError(f"in_channels {self.in_channels} must be a multiple of in_frames {self.in_frames}.")
        return FrameLifting(self.in_frames, self.in_channels // self.in_frames, self.width, key=key)


def _interior(space: tuple[int, ...]) -> np.ndarray:
    """False at the first and last point of each axis."""
    interior = np.zeros(space, bool)
    interior[(slice(1, -1),) * len(space)] = True
    return interior
