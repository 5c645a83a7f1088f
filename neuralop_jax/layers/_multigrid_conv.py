"""The learned V-cycle: every part of multigrid is a small convolution, run by the same cycle as the classical solver."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import space_size, whole_shape
from neuralop_jax.kernels._convolve import BOUNDARY_RULES
from neuralop_jax.kernels._multigrid import cycle
from neuralop_jax.layers._bias_function import BiasFunction
from neuralop_jax.layers._convolution import Convolution
from neuralop_jax.layers._field_norm import FieldNorm
from neuralop_jax.layers._learned_level import LearnedLevel, LevelKernels, LevelPlan, plan_levels
from neuralop_jax.layers._prolongation import Prolongation

_ALTERNATIVES = {
    "coarse_rhs": ("rhs", "residual"),
    "coarse_init": ("restrict", "zero"),
    "sharing": ("distinct", "per_level", "all_levels"),
    "bias": ("none", "scalar", "function"),
    "norm_affine": ("none", "finest", "all"),
    "restriction_padding": (0, 1),
    "boundary": BOUNDARY_RULES,
}


class MultigridConv(eqx.Module):
    r"""The operator $u = Wf$ that one V-cycle of learned $3^d$-point convolutions makes of the channels $f$.

    On each level, from zero on the finest: smoothing steps $u \leftarrow u + S(f - Au)$; then the next coarser level gets
    $R f$ or $R(f - Au)$ as right-hand side and $\Pi u$ or zero as iterate; its result $v$ is added, $u \leftarrow u + Pv$; then
    more smoothing steps. $W$ is linear but for a bias or a norm. It changes with the spacing of the grid: a kernel covers points.

    **Arguments:**

    - `num_dims`: space axes, 1 to 3.
    - `in_channels`, `out_channels`: channels of $f$ and $u$, on every level.
    - `smoothing`: steps before and after the coarser level, one pair per level from fine to coarse, the last one `(n, 0)`.
    - `boundary`: what all convolutions read beyond the edge: `"zeros"`, `"reflect"`, `"replicate"` or `"periodic"`.
    - `coarse_rhs`: `"rhs"` restricts $f$, as the released models do; `"residual"` restricts $f - Au$, as multigrid does.
    - `coarse_init`: `"restrict"` starts the coarser level from $\Pi u$, as the released models do; `"zero"` as multigrid does.
    - `sharing`: kernels that are the same: `"distinct"` none, `"per_level"` one $A$ on each level, `"all_levels"` one of
      each kind for all steps and levels, so that the number of levels can change.
    - `bias`: `"none"`; `"scalar"`, a number per channel in every $A$ and $S$; `"function"`, one function of space added to $u$.
    - `bias_points`: learned values per axis of such a function.
    - `prolongation_size`: points per axis of $P$, 3 or 4; one number or one per transfer from fine to coarse. Where the size
      computed from a grid matters, as for released weights, it is 3 onto an odd number of points and 4 onto an even one.
    - `zero_padded_prolongation`: whether $P$ reads zeros beyond the edge whatever `boundary` says, as in released models. A
      periodic operator then does not commute with shifts.
    - `restriction_padding`: 1 keeps the points 0, 2, 4, ..., for grids with their boundary points and periodic ones; 0 keeps
      1, 3, 5, ..., for interior points.
    - `growing`: level $l = 0, 1, \dots$ has $l + 1$ times the channels.
    - `norm`: layer normalization after every $u + Pv$.
    - `norm_affine`, `norm_grid`: `"finest"` or `"all"` gives the norms of these levels weights at every point of the grid
      `norm_grid` and of its coarser ones.
    - `key`: initial weights, uniform as in PyTorch.

    **Raises:** `ConfigError` for options that do not fit.

    **Source:** He, Liu, Xu 2023, arXiv:2310.19809. Differs from the released code in that $P$ follows the boundary condition.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import MultigridConv

        layer = MultigridConv(2, 1, 4, smoothing=((1, 0), (1, 1), (2, 0)), key=jax.random.key(0))
        assert eqx.filter_jit(layer)(jnp.ones((1, 13, 16))).shape == (4, 13, 16)
        ```
    """

    kernels: tuple[LevelKernels, ...]
    bias_function: BiasFunction | None
    plans: tuple[LevelPlan, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    restriction_padding: int = eqx.field(static=True)

    def __init__(
        self,
        num_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        smoothing: Sequence[Sequence[int]],
        boundary: str = "zeros",
        coarse_rhs: str = "rhs",
        coarse_init: str = "restrict",
        sharing: str = "distinct",
        bias: str = "none",
        bias_points: int = 8,
        prolongation_size: int | Sequence[int] = 4,
        zero_padded_prolongation: bool = False,
        restriction_padding: int = 1,
        growing: bool = False,
        norm: bool = False,
        norm_affine: str = "none",
        norm_grid: Sequence[int] | None = None,
        key: PRNGKey,
    ):
        chosen = (coarse_rhs, coarse_init, sharing, bias, norm_affine, restriction_padding, boundary)
        for (name, allowed), value in zip(_ALTERNATIVES.items(), chosen, strict=True):
            one_of(name, value, allowed, ConfigError)
        self.plans = plans = plan_levels(smoothing, coarse_rhs, coarse_init)
        self.num_dims, self.restriction_padding = num_dims, restriction_padding
        count, shared = len(plans), sharing == "all_levels"
        sizes = _sizes(prolongation_size, count - 1)
        shapes = _norm_shapes(norm_affine, norm_grid, num_dims, count, restriction_padding)
        if shared and (growing or len(set(sizes)) > 1 or any(shapes)):
            raise ConfigError(
                "sharing='all_levels' needs levels that are alike: growing=False, one prolongation_size, norm_affine='none'."
            )
        options = {"boundary": boundary, "bias": bias == "scalar"}
        transfer = {"boundary": boundary, "bias": False, "stride": 2, "padding": restriction_padding}
        rule = "zeros" if zero_padded_prolongation else boundary

        def level(index: int, operators: int, smoothers: int, right: bool, iterate: bool, key: PRNGKey) -> LevelKernels:
            """So many kernels of each kind, and those between this level and the next."""
            keys = iter(jax.random.split(key, operators + smoothers + 3))
            here, coarse = (index + 1, index + 2) if growing else (1, 1)
            f, u, coarse_f, coarse_u = (c * k for k in (here, coarse) for c in (in_channels, out_channels))
            same = lambda a, b: Convolution(num_dims, a, b, **options, key=next(keys))  # noqa: E731
            down = lambda a, b: Convolution(num_dims, a, b, **transfer, key=next(keys))  # noqa: E731
            prolong = norms = None
            if index < count - 1:
                up = {"kernel_size": sizes[index], "first": 1 - restriction_padding, "boundary": rule}
                prolong = Prolongation(num_dims, coarse_u, u, **up, key=next(keys))
                affine = shapes[index]
                norms = FieldNorm(num_dims, None if affine is None else (u, *affine)) if norm else None
            return LevelKernels(
                tuple(same(u, f) for _ in range(operators)),
                tuple(same(f, u) for _ in range(smoothers)),
                down(f, coarse_f) if right else None,
                down(u, coarse_u) if iterate else None,
                prolong,
                norms,
            )

        if shared:
            some = lambda name: any(getattr(plan, name) for plan in plans)  # noqa: E731
            self.kernels = (level(0, int(some("num_operators")), 1, some("right"), some("iterate"), key),)
        else:
            numbers = [p.num_operators if sharing == "distinct" else min(p.num_operators, 1) for p in plans]
            keys = jax.random.split(key, count)
            self.kernels = tuple(
                level(index, numbers[index], plan.num_smoothers, plan.right, plan.iterate, keys[index])
                for index, plan in enumerate(plans)
            )
        learned = lambda: BiasFunction(num_dims, out_channels, points=bias_points, boundary=boundary)  # noqa: E731
        self.bias_function = learned() if bias == "function" else None

    def __call__(self, f: Float[Array, "in *batch_space"]) -> Float[Array, "out *batch_space"]:
        """The field $Wf$ on the same grid; several samples stand between channels and space.

        Where devices share the domain, so they do the levels, down to those with fewer points on the first axis than devices: of
        these every device computes all.

        **Raises:** `ModelInputError` if the points of another level cannot be divided evenly.
        """
        count = len(self.plans)
        shapes = level_shapes(whole_shape(f.shape[f.ndim - self.num_dims :]), count, self.restriction_padding)
        kernels = self.kernels * count if len(self.kernels) < count else self.kernels
        divided = divided_levels([shape[0] for shape in shapes])
        gathers = [a > b for a, b in zip(divided, [*divided[1:], divided[-1]], strict=True)]
        u = cycle([LearnedLevel(*parts) for parts in zip(self.plans, kernels, shapes, divided, gathers, strict=True)], f)
        return u if self.bias_function is None else self.bias_function(u)


def level_shapes(shape: Sequence[int], num_levels: int, restriction_padding: int) -> tuple[tuple[int, ...], ...]:
    """The grid of each level, from fine to coarse; not positive where a grid is too coarse for the levels."""
    shapes = [tuple(shape)]
    for _ in range(num_levels - 1):
        shapes.append(tuple((n - 1) // 2 + restriction_padding for n in shapes[-1]))
    return tuple(shapes)


def divided_levels(points: Sequence[int]) -> list[bool]:
    """Which levels, with so many points on the first axis, are divided where devices share the domain; all if none do.

    **Raises:** `ModelInputError` for a level that has enough points, and not so many that every block is halved.
    """
    devices = space_size()
    if devices == 1:
        return [True] * len(points)
    divided = [True]
    for level, (fine, coarse) in enumerate(zip(points, points[1:], strict=False), start=1):
        halved = divided[-1] and fine == 2 * coarse and coarse % devices == 0
        if not halved and coarse >= devices:
            raise ModelInputError(
                f"level {level} of a learned V-cycle has {coarse} points of {fine} on the first space axis, of which {devices} "
                f"devices cannot have half of their points each. Use restriction_padding=1 and a grid with a multiple of "
                f"{devices * 2 ** (len(points) - 1)} points on that axis, fewer levels, or fewer devices."
            )
        divided.append(halved)
    return divided


def _sizes(sizes: int | Sequence[int], transfers: int) -> tuple[int, ...]:
    numbers = (sizes,) * transfers if isinstance(sizes, int) else tuple(sizes)
    if len(numbers) != transfers or not all(size in (3, 4) for size in numbers):
        raise ConfigError(f"prolongation_size must be 3 or 4, or one of them for each of {transfers} transfers, got {sizes!r}.")
    return numbers


def _norm_shapes(
    affine: str, grid: Sequence[int] | None, num_dims: int, num_levels: int, restriction_padding: int
) -> tuple[tuple[int, ...] | None, ...]:
    """The grid of the norm's weights on each level, where it has any."""
    if affine == "none":
        return (None,) * num_levels
    if grid is None or len(grid) != num_dims:
        raise ConfigError(
            f"norm_affine={affine!r} needs norm_grid, one number of points for each of {num_dims} axes, got {grid!r}."
        )
    shapes = level_shapes(grid, num_levels, restriction_padding)
    return shapes if affine == "all" else (shapes[0], *(None,) * (num_levels - 1))
