"""An operator that sees a large domain patch by patch, each patch with coarser and wider views of what surrounds it."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import make_patches, stitch, undivided, whole_shape
from neuralop_jax.kernels._convolve import BOUNDARY_RULES
from neuralop_jax.kernels._patches import own_patches
from neuralop_jax.layers import append_coordinates
from neuralop_jax.layers._padding import padding_widths
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import OperatorSpec, check_per_axis, check_sizes
from neuralop_jax.models._resolution import ResolutionClaim

_MOST_LEVELS = 8


class MultigridPatches(AbstractGridOperator):
    r"""Multi-grid domain decomposition: $u \mapsto \operatorname{stitch}\, G\big(\operatorname{patch}_0 u, \dots,
    \operatorname{patch}_L u\big)$ with one operator $G$ for all patches. With a TFNO inside it is the MG-TFNO.

    The domain is cut into $2^L$ patches per axis. $G$ sees a patch with some points around it, and as further channels, for
    $l = 1 \dots L$, every $2^l$-th point of a region $2^l$ times wider with the same center. Patches are samples of one batch: a
    field of $N$ points needs the memory of fields of $N/2^L$, and patches can be divided among devices. Where these share the
    domain, as many as divide $2^L$, each computes the patches of its block, whatever $G$ is; `evaluate_sharded` divides the
    patches of all samples instead.

    **Arguments:** (keyword-only; all but `key` make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `operator`: the specification of $G$, `{"kind": name, **arguments}` as for `models.build`, `[model.operator]` in a
      configuration. It is given its channels, `(1 + levels)` times those of the input and its coordinates, and `out_channels`,
      and `num_dims`. It must return fields on the grid of its input, and its `n_modes` are those of a patch.
    - `num_dims`: number of space axes, where `operator` leaves it open, and with `coordinates`.
    - `coordinates`: append to the input, before it is cut, the coordinates on the whole domain, from 0 to $1 - 1/N$. *Needed*
      where the equation depends on the place, such as by a forcing: no patch could know where it is.
    - `levels`: $L$. With 0 the whole field goes to $G$, and `padding` is not used.
    - `padding`: points around a patch, on each side, as a fraction of the points of the whole axis; one number or one per axis.
      *Good values:* 0.05 to 0.1.
    - `boundary`: what lies beyond the ends of the domain: `"periodic"`, `"reflect"` (mirrored at the end points), `"replicate"`
      (the last value again) or `"zeros"`; one rule or one per axis.
    - `key`: initial weights of $G$.

    A grid needs a multiple of $4^L$ points on every axis. The prediction is always stitched: a loss of each patch by itself is
    `losses.per_patch`. Coordinates that $G$ itself appends are those within a patch.

    **Raises:** `ConfigError` for options that do not fit, also those of `operator`; `ModelInputError` when called on another
    number of points, if $G$ changes the grid, or if devices cannot share the rows of patches.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120; `MultigridPatching2D` of neuraloperator, whose numbers are equal for
    periodic planes. Differs: one to four dimensions, edges that are not periodic; with padding on some axes only, the original
    returns nothing; with `levels=0` it fails on the way back.

    The improved block of that paper is `FourierBlock`, its choices are options of `FNO`: two bypasses (`bypass` and
    `channel_mlp_bypass`, each linear, identity or `"soft_gating"`), `channel_mlp`, `norm`, `preactivation` and
    `stabilizer="tanh"`. The order of their steps is that of the published block, before and after activation alike.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import MultigridPatches

        inner = {"kind": "fno", "n_modes": [8, 8], "width": 8, "depth": 2}
        model = MultigridPatches(in_channels=1, out_channels=1, operator=inner, levels=1, padding=0.125, key=jax.random.key(0))
        assert model.inner.in_channels == 2 and eqx.filter_jit(model)(jnp.ones((1, 32, 16))).shape == (1, 32, 16)
        ```
    """

    resolution = ResolutionClaim(
        "none", "a patch with padding is no periodic box, so that the Fourier series on it depends on its points"
    )
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    coordinates: bool = eqx.field(static=True)
    levels: int = eqx.field(static=True)
    padding: float | tuple[float, ...] = eqx.field(static=True)
    boundary: str | tuple[str, ...] = eqx.field(static=True)
    inner: AbstractGridOperator

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        operator: OperatorSpec,
        num_dims: int | None = None,
        coordinates: bool = False,
        levels: int = 1,
        padding: int | float | Sequence[int | float] = 0.078125,
        boundary: str | Sequence[str] = "periodic",
        key: PRNGKey,
    ):
        from neuralop_jax.models import registry  # which names this class

        check_sizes(in_channels=in_channels, out_channels=out_channels)
        if not isinstance(levels, int) or isinstance(levels, bool) or not 0 <= levels <= _MOST_LEVELS:
            raise ConfigError(f"levels must be an integer from 0 to {_MOST_LEVELS}, got {levels!r}.")
        if num_dims is not None:
            check_sizes(num_dims=num_dims)
        if coordinates and num_dims is None:
            raise ConfigError("coordinates=True needs num_dims, the number of space axes and so of coordinates. Give it.")
        views = (1 + levels) * (in_channels + (num_dims or 0) * coordinates)
        inner = registry.build_inner(
            "operator", operator, in_channels=views, out_channels=out_channels, num_dims=num_dims, key=key
        )
        if not isinstance(inner, AbstractGridOperator):
            raise ConfigError(f"operator {operator['kind']!r} does not map grids to grids. Use one that does, such as 'fno'.")
        if num_dims not in (None, inner.num_dims):
            raise ConfigError(f"operator has {inner.num_dims} space axes, num_dims is {num_dims}. Leave one of them out.")
        self.inner, self.num_dims, self.width = inner, inner.num_dims, inner.width
        self.in_channels, self.out_channels, self.levels, self.coordinates = in_channels, out_channels, levels, coordinates
        self.padding = tuple(padding) if isinstance(padding, Sequence) else padding
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        _check_padding(self.padding, self.num_dims)
        if len(self._boundaries) != self.num_dims:
            raise ConfigError(f"boundary must be one rule, or {self.num_dims} of them, one per axis, got {boundary!r}.")
        for rule in self._boundaries:
            one_of("boundary", rule, BOUNDARY_RULES, ConfigError)

    @property
    def divisible(self) -> bool:
        """Whether there are patches, which devices can share whatever the operator inside."""
        return self.levels > 0

    @property
    def operator(self) -> dict[str, Any]:
        """The specification of the operator inside, without what it is given."""
        from neuralop_jax.models import registry

        return registry.inner_spec(self.inner)

    @property
    def num_parameters(self) -> int:
        """Parameters `p` that the operator inside reads."""
        return getattr(self.inner, "num_parameters", 0)

    @property
    def complex_data(self) -> bool:
        """Whether the operator inside takes complex fields."""
        return getattr(self.inner, "complex_data", False)

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The output for `(channels, *batch, *space)`, stitched."""
        windows, p = self.windows(u, p)
        inner = lambda windows, p: self.inner.evaluate(windows, p, key=key)
        return self.stitched(undivided(inner)(windows, p), u.shape)

    def windows(
        self, u: Inexact[Array, "in_channels *batch_space"], p: Float[Array, "*batch parameters"] | None = None
    ) -> tuple[Inexact[Array, "views patches *window"], Float[Array, "patches parameters"] | None]:
        """What the operator inside is given: the patches of all samples, and to each the parameters of its sample."""
        if u.ndim == self.num_dims + 1:
            u, p = u[:, None], None if p is None else p[None]
        if self.coordinates:
            u = append_coordinates(u, self.num_dims)
        if self.levels == 0:
            return u, p
        try:
            windows = make_patches(u, self.levels, self._widths(whole_shape(u.shape[2:])), self._boundaries)
        except ValueError as error:
            raise ModelInputError(f"{type(self).__name__}: {error}") from error
        return windows, None if p is None else jnp.repeat(p, math.prod(own_patches(self._patches, self.num_dims)), axis=0)

    def stitched(
        self, v: Inexact[Array, "out_channels patches *window"], shape: Sequence[int]
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The field from the outputs of the operator inside, for an input of `shape`."""
        space = whole_shape(shape[len(shape) - self.num_dims :])
        if v.shape[2:] != self.window_shape(space):
            raise ModelInputError(
                f"{type(self).__name__}: the operator inside made {v.shape[2:]} points of {self.window_shape(space)}. "
                "Use one that keeps the grid, without output_scaling."
            )
        fields = stitch(v, self._patches, self._widths(space))
        return fields if len(shape) > self.num_dims + 1 else fields[:, 0]

    def window_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The grid that the operator inside sees of a field on the grid `shape`."""
        return tuple(n // self._patches + 2 * q for n, q in zip(shape, self._widths(shape), strict=True))

    @property
    def _patches(self) -> int:
        return 2**self.levels

    @property
    def _boundaries(self) -> tuple[str, ...]:
        return (self.boundary,) * self.num_dims if isinstance(self.boundary, str) else self.boundary

    def _widths(self, shape: Sequence[int]) -> tuple[int, ...]:
        if self.levels == 0:
            return (0,) * self.num_dims
        fractions = self.padding if isinstance(self.padding, tuple) else (self.padding,) * self.num_dims
        return padding_widths([float(fraction) for fraction in fractions], shape)


def _check_padding(padding: int | float | tuple[int | float, ...], num_dims: int) -> None:
    numbers = padding if isinstance(padding, tuple) else (padding,)
    if any(isinstance(number, int | float) and number > 1 for number in numbers):
        raise ConfigError(
            f"padding is a fraction of the points of the whole axis, at most 1, got {padding!r}. 16 points of 128 are 0.125."
        )
    check_per_axis("padding", padding, num_dims, least=0, most=1)
