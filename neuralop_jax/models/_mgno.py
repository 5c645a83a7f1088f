"""The multigrid neural operator."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import whole_shape
from neuralop_jax.layers import FieldNorm, MultigridConv, Pointwise, activation, gelu
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.layers._learned_level import plan_levels
from neuralop_jax.layers._multigrid_conv import level_shapes
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import Depth, check_sizes, sizes_of
from neuralop_jax.models._rebuild import rebuilt, skeleton
from neuralop_jax.models._resolution import ResolutionClaim

_CYCLE_OPTIONS = (
    "smoothing",
    "boundary",
    "coarse_rhs",
    "coarse_init",
    "sharing",
    "bias",
    "bias_points",
    "prolongation_size",
    "zero_padded_prolongation",
    "restriction_padding",
    "growing",
)


class MgNO(AbstractGridOperator):
    r"""The multigrid neural operator: layers $v \leftarrow \sigma(Wv + Lv)$, where $W$ is one learned V-cycle.

    There is no lifting: the first $W$ (see `MultigridConv`) reads the channels of $u$. $L$ acts on the channels at every point. A
    head $Q$ maps the last $v$ to the output. Kernels cover points of the grid, so weights can be used on any grid, but
    the operator is not the same function on another one; train on the grid of use.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `num_dims`: space axes, 1 to 3.
    - `width`, `depth`: channels of $v$, number of layers (0 only with a multigrid head).
    - `smoothing`: smoothing steps before and after the coarser level, one pair per level from fine to coarse, the last `(n, 0)`.
      *Good values:* the default's six levels for 256 points per axis, five for 64: the coarsest grid then has 4 to 8.
    - `boundary`: `"zeros"` (Dirichlet), `"reflect"` (Neumann), `"replicate"` or `"periodic"`.
    - `activation`: a name in `layers.ACTIVATIONS`; the exact `"gelu"` by default.
    - `bypass`: whether $L$, with a bias, is there.
    - `coarse_rhs`, `coarse_init`, `sharing`, `bias`, `bias_points`, `prolongation_size`, `zero_padded_prolongation`,
      `restriction_padding`, `growing`: of every $W$, see `MultigridConv`.
    - `norm`: `None`; `"cycle"`: layer normalization over channels and points after every addition of a coarser level;
      `"layer"`: after every $W$.
    - `norm_affine`, `norm_grid`: `"finest"` or `"all"` gives the norms of these levels weights at every point, which tie the
      model to the grid `norm_grid`; `"none"` by default.
    - `head`: `"pointwise"`, $Q$ maps channels; `"multigrid"`, $Q$ is a $W$.
    - `head_hidden`: channels between the two maps of a pointwise head, with an exact GELU; 0 for one map.
    - `head_bias`: whether the last of them has a bias.
    - `residual`: output $Q + u$, for one step in time.
    - `head_channels`: channels of a pointwise head; `None` for `out_channels`, 1 with `residual` adds one change to all channels.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` when called with anything but one sample, on a grid
    too coarse for the levels, or on another grid than `norm_grid`.

    **Source:** He, Liu, Xu 2023, arXiv:2310.19809, and released code. Darcy: defaults with `zero_padded_prolongation=True`.
    Navier-Stokes: `boundary="periodic", bias="scalar", norm="cycle", bypass=False, residual=True`. Differs in that prolongation
    follows the boundary condition, and weights of the norm are off unless asked for.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import MgNO

        steps = ((1, 0), (1, 0), (2, 0))
        model = MgNO(in_channels=1, out_channels=1, num_dims=2, width=8, depth=2, smoothing=steps, key=jax.random.key(0))
        assert eqx.filter_jit(model)(jnp.ones((1, 33, 32))).shape == (1, 33, 32)
        ```
    """

    divisible = True
    resolution = ResolutionClaim("none", "its kernels cover points of the grid, not lengths")
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    smoothing: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    boundary: str = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    bypass: bool = eqx.field(static=True)
    coarse_rhs: str = eqx.field(static=True)
    coarse_init: str = eqx.field(static=True)
    sharing: str = eqx.field(static=True)
    bias: str = eqx.field(static=True)
    bias_points: int = eqx.field(static=True)
    prolongation_size: int | tuple[int, ...] = eqx.field(static=True)
    zero_padded_prolongation: bool = eqx.field(static=True)
    restriction_padding: int = eqx.field(static=True)
    growing: bool = eqx.field(static=True)
    norm: str | None = eqx.field(static=True)
    norm_affine: str = eqx.field(static=True)
    norm_grid: tuple[int, ...] | None = eqx.field(static=True)
    head: str = eqx.field(static=True)
    head_hidden: int = eqx.field(static=True)
    head_bias: bool = eqx.field(static=True)
    head_channels: int | None = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    cycles: tuple[MultigridConv, ...]
    bypasses: tuple[Pointwise, ...]
    norms: tuple[FieldNorm, ...]
    projection: tuple[Pointwise | MultigridConv, ...]

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_dims: int,
        width: int = 24,
        depth: Depth = 4,
        smoothing: Sequence[Sequence[int]] = ((1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (2, 0)),
        boundary: str = "zeros",
        activation: str = "gelu",
        bypass: bool = True,
        coarse_rhs: str = "rhs",
        coarse_init: str = "restrict",
        sharing: str = "distinct",
        bias: str = "none",
        bias_points: int = 8,
        prolongation_size: int | Sequence[int] = 4,
        zero_padded_prolongation: bool = False,
        restriction_padding: int = 1,
        growing: bool = False,
        norm: str | None = None,
        norm_affine: str = "none",
        norm_grid: Sequence[int] | None = None,
        head: str = "pointwise",
        head_hidden: int = 0,
        head_bias: bool = False,
        head_channels: int | None = None,
        residual: bool = False,
        key: PRNGKey,
    ):
        check_activation(activation)
        check_sizes(in_channels=in_channels, out_channels=out_channels, num_dims=num_dims, width=width, bias_points=bias_points)
        one_of("num_dims", num_dims, (1, 2, 3), ConfigError)
        one_of("norm", norm, (None, "cycle", "layer"), ConfigError)
        one_of("head", head, ("pointwise", "multigrid"), ConfigError)
        self.in_channels, self.out_channels, self.num_dims = in_channels, out_channels, num_dims
        self.width, self.depth, self.boundary, self.activation = width, depth, boundary, activation
        plan_levels(smoothing, coarse_rhs, coarse_init)  # whether these are levels at all
        self.smoothing = tuple(tuple(pair) for pair in smoothing)
        self.bypass, self.coarse_rhs, self.coarse_init, self.sharing = bypass, coarse_rhs, coarse_init, sharing
        self.bias, self.bias_points, self.growing = bias, bias_points, growing
        self.prolongation_size = tuple(prolongation_size) if isinstance(prolongation_size, Sequence) else prolongation_size
        self.zero_padded_prolongation, self.restriction_padding = zero_padded_prolongation, restriction_padding
        self.norm, self.norm_affine, self.norm_grid = norm, norm_affine, None if norm_grid is None else tuple(norm_grid)
        self.head, self.head_hidden, self.head_bias = head, head_hidden, head_bias
        self.head_channels, self.residual = head_channels, residual
        _check_head(self)
        _check_norm(self)
        if depth < (head != "multigrid"):
            raise ConfigError(f"depth must be an integer of at least 1 with a pointwise head, got {depth!r}.")

        shared = {name: getattr(self, name) for name in _CYCLE_OPTIONS}
        normed = {"norm": True, "norm_affine": norm_affine, "norm_grid": norm_grid} if norm == "cycle" else {}
        keys = iter(jax.random.split(key, 2 * depth + 2))
        widths = (in_channels, *(width,) * depth)
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        self.cycles = tuple(MultigridConv(num_dims, a, b, **shared, **normed, key=next(keys)) for a, b in steps)
        self.bypasses = tuple(Pointwise(a, b, key=next(keys)) for a, b in steps) if bypass else ()
        shape = None if norm_grid is None else (width, *norm_grid)
        self.norms = tuple(FieldNorm(num_dims, shape) for _ in steps) if norm == "layer" else ()
        if head == "multigrid":
            self.projection = (MultigridConv(num_dims, widths[-1], out_channels, **shared, **normed, key=next(keys)),)
        else:
            hidden = (Pointwise(width, head_hidden, key=next(keys)),) if head_hidden else ()
            last = Pointwise(head_hidden or width, head_channels or out_channels, bias=head_bias, key=next(keys))
            self.projection = (*hidden, last)

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The output for `(channels, *batch, *space)`; `p` is not read."""
        self._check_grid(whole_shape(u.shape[u.ndim - self.num_dims :]))
        v = u
        for index, cycle in enumerate(self.cycles):
            w = cycle(v)
            w = self.norms[index](w) if self.norms else w
            v = activation(self.activation, w + self.bypasses[index](v) if self.bypasses else w)
        *hidden, last = self.projection
        for layer in hidden:
            v = gelu(layer(v))
        return last(v) + u if self.residual else last(v)

    def with_smoothing(self, smoothing: Sequence[Sequence[int]]) -> "MgNO":
        """The same operator, same weights, with other levels and smoothing steps; only where all levels share their kernels.

        **Raises:** `ConfigError` if the levels do not share their kernels, or the new ones need other kernels.
        """
        if self.sharing != "all_levels":
            raise ConfigError(f"with_smoothing needs sharing='all_levels', the model has {self.sharing!r}. Build another model.")
        wanted = skeleton(self, smoothing=smoothing)
        paths = [[jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(m)] for m in (self, wanted)]
        if paths[0] != paths[1]:
            raise ConfigError(
                f"smoothing {smoothing!r} needs other kernels than {self.smoothing!r}. Keep coarser levels and steps with A."
            )
        return rebuilt(self, smoothing=smoothing)

    def _check_grid(self, shape: tuple[int, ...]) -> None:
        least = 2 if self.boundary == "reflect" else 1
        coarsest = level_shapes(shape, len(self.smoothing), self.restriction_padding)[-1]
        if min(coarsest) < least:
            raise ModelInputError(
                f"MgNO with {len(self.smoothing)} levels makes {coarsest} points of the grid {shape}, and boundary "
                f"{self.boundary!r} needs {least} per axis. Use fewer levels, or a finer grid."
            )
        if self.norm_affine != "none" and shape != self.norm_grid:
            raise ModelInputError(f"MgNO's norm has weights for the grid {self.norm_grid}, got {shape}. Use norm_affine='none'.")


def _check_norm(model: MgNO) -> None:
    """Raises `ConfigError` unless the options of the norm belong together."""
    one_of("norm_affine", model.norm_affine, ("none", "finest", "all"), ConfigError)
    if model.norm is None and model.norm_affine != "none":
        raise ConfigError(f"norm_affine={model.norm_affine!r} has no norm to belong to. Choose norm='cycle' or norm='layer'.")
    if model.norm_affine == "none" and model.norm_grid is not None:
        raise ConfigError(f"norm_grid={model.norm_grid} is for weights of a norm. Choose norm and norm_affine, or leave it out.")
    if model.norm_affine != "none" and (model.norm_grid is None or len(sizes_of("norm_grid", model.norm_grid)) != model.num_dims):
        raise ConfigError(
            f"norm_affine={model.norm_affine!r} needs the {model.num_dims} numbers of points of its grid, got norm_grid="
            f"{model.norm_grid}. Give norm_grid."
        )


def _check_head(model: MgNO) -> None:
    """Raises `ConfigError` unless the options of the head belong together and lead to the output's channels."""
    if model.head_hidden < 0:
        raise ConfigError(f"head_hidden must be 0 or more channels, got {model.head_hidden}.")
    if model.head == "multigrid" and (model.head_hidden or model.head_bias or model.head_channels):
        raise ConfigError("head_hidden, head_bias and head_channels belong to head='pointwise'. Leave them out.")
    channels = {model.out_channels if model.head_channels is None else model.head_channels}
    channels |= {model.in_channels} if model.residual else set()
    if channels - {1} != {model.out_channels} - {1}:
        raise ConfigError(
            f"the head makes {model.head_channels or model.out_channels} channels"
            f"{f', to which residual=True adds {model.in_channels}' if model.residual else ''}, which is not out_channels="
            f"{model.out_channels}. Change head_channels."
        )
