"""The implicit Fourier neural operator: one Fourier block, iterated until nothing changes."""

import math
from collections.abc import Sequence
from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.implicit import AbstractIteration, Anderson, Broyden, FixedPoint, Picard, Richardson
from neuralop_jax.kernels._transform import Transform
from neuralop_jax.layers import ChannelMLP, Equilibrium, FourierBlock, SoftGate, append_coordinates, crop_domain, pad_domain
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.layers._padding import padding_widths
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import check_hidden, check_per_axis, check_sizes, modes_per_axis
from neuralop_jax.models._resolution import ResolutionClaim, fourier_causes

METHODS: Final = ("anderson", "broyden", "picard")


class ImplicitFNO(AbstractGridOperator):
    r"""$u \mapsto Q z^*$ with the equilibrium $z^* = s \odot B(z^*) + v$ of one Fourier block $B$, where $v = P(u, x)$ is lifted.

    As deep as the iteration is long, with the weights of one layer: made for steady problems, whose solutions are fixed points
    themselves. Gradients are those of the equilibrium, by implicit differentiation, so that memory does not grow with depth.
    Every sample is solved to its own tolerance; its output depends on no other.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`, `n_modes`, `num_dims`, `width`, `lifting_ratio`, `projection_ratio`, `coordinates`,
      `activation`, `padding`, `transform`: as in `FNO`. `activation="tanh"` bounds $B$, so that an equilibrium always exists.
    - `scale`: initial value of $s$, one number per channel, learned. It makes the map a contraction at the start: *good
      values* are up to 0.3.
    - `method`: `"anderson"`, `"broyden"` or `"picard"`.
    - `history`: steps that the first two remember.
    - `rtol`, `max_steps`: a sample is solved if $\|s \odot B(z) + v - z\|_2$ is at most `rtol` times $\|s \odot B(z) + v\|_2$,
      and is given up after `max_steps` steps. The backward pass takes the same numbers.
    - `accept`: what becomes of a sample that is given up. If its relative residual is at most `accept`, its best point stands for
      the equilibrium, as in published models; otherwise its output is NaN. The same holds for gradients. In training, that is
      with a `key`, the best point is always taken. 0 is strict, 10 never refuses. `solve` says which samples are solved.
    - `gradient`: `"implicit"`; or `"phantom"`, the derivative of one step at the equilibrium: cheaper and not exact.
    - `key`: initial weights.

    Fields in half precision are iterated in single precision.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` when called with anything but one sample,
    or with a grid without points.

    **Source:** Marwah et al. 2023, arXiv:2312.00234 (FNO-DEQ). Differs: one block of neuraloperator's form instead of three
    layers that each add the input before their activation; a learned scale; no Fourier layer after the equilibrium; every sample
    has a solve of its own. You et al. 2022, arXiv:2203.08205 (IFNO) take a given number $L$ of steps
    $z \leftarrow z + \tfrac1L \sigma(Wz + \mathcal K z + c)$ with the same weights from $z = v$: the input enters once, and
    the result is no equilibrium.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.models import ImplicitFNO

        model = ImplicitFNO(in_channels=1, out_channels=1, num_dims=1, n_modes=8, width=8, key=jax.random.key(0))
        output, equilibrium = model.solve(jnp.ones((1, 32)))
        assert output.shape == (1, 32) and equilibrium.successful
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    n_modes: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    lifting_ratio: float = eqx.field(static=True)
    projection_ratio: float = eqx.field(static=True)
    coordinates: bool = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    padding: float | tuple[float, ...] | None = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    history: int = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    accept: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    transform: Transform = eqx.field(static=True)
    lifting: ChannelMLP
    block: FourierBlock
    gate: SoftGate
    projection: ChannelMLP

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        n_modes: int | Sequence[int],
        num_dims: int | None = None,
        width: int = 32,
        lifting_ratio: int | float = 2.0,
        projection_ratio: int | float = 2.0,
        coordinates: bool = True,
        activation: str = "gelu",
        padding: int | float | Sequence[int | float] | None = None,
        scale: int | float = 0.25,
        method: str = "anderson",
        history: int = 5,
        rtol: int | float = 1e-3,
        max_steps: int = 32,
        accept: int | float = 0.1,
        gradient: str = "implicit",
        transform: Transform = "auto",
        key: PRNGKey,
    ):
        check_activation(activation)
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, history=history, max_steps=max_steps)
        check_hidden("projection_ratio", projection_ratio, width)
        if lifting_ratio:
            check_hidden("lifting_ratio", lifting_ratio, width)
        one_of("method", method, METHODS, ConfigError)
        one_of("gradient", gradient, ("implicit", "phantom"), ConfigError)
        one_of("transform", transform, ("auto", "fft", "dft"), ConfigError)
        for name, value in (("scale", scale), ("rtol", rtol), ("accept", accept)):
            if not value >= 0:
                raise ConfigError(f"{name} must not be negative, got {value!r}.")
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.n_modes = modes_per_axis("n_modes", n_modes, num_dims)
        self.num_dims = len(self.n_modes)
        self.lifting_ratio, self.projection_ratio, self.coordinates = lifting_ratio, projection_ratio, coordinates
        self.activation, self.transform = activation, transform
        self.padding = tuple(padding) if isinstance(padding, Sequence) else padding
        check_per_axis("padding", padding or 0, self.num_dims, least=0, most=8)
        self.scale, self.method, self.history, self.gradient = scale, method, history, gradient
        self.rtol, self.max_steps, self.accept = rtol, max_steps, accept

        lifting_key, block_key, projection_key = jax.random.split(key, 3)
        lifted, hidden = in_channels + (self.num_dims if coordinates else 0), int(lifting_ratio * width)
        sizes = (lifted, hidden, width) if hidden else (lifted, width)
        self.lifting = ChannelMLP(sizes, activation=activation, key=lifting_key)
        self.block = FourierBlock(width, self.n_modes, activation=activation, transform=transform, key=block_key)
        self.gate = eqx.tree_at(lambda gate: gate.scale, SoftGate(width), jnp.full(width, float(scale)))
        sizes = (width, int(projection_ratio * width), out_channels)
        self.projection = ChannelMLP(sizes, activation=activation, key=projection_key)

    @property
    def resolution(self) -> ResolutionClaim:
        """The values on two grids differ by what is folded back, by the edge, and by the tolerance of the solve."""
        causes = fourier_causes(self.coordinates, bool(np.any(self.padding or 0.0)), nonlinear=True)
        return ResolutionClaim("converges", "; ".join((*causes, "the tolerance of the solve")))

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_out_space"]:
        """The output for `(channels, *space)`, or with one batch axis behind; NaN for samples without equilibrium (`accept`)."""
        return self.solve(u, key=key)[0]

    def solve(
        self, u: Inexact[Array, "in_channels *batch_space"], *, key: PRNGKey | None = None
    ) -> tuple[Inexact[Array, "out_channels *batch_out_space"], FixedPoint]:
        """The output, and the equilibrium: the hidden field with a result code, number of steps and residual for each sample."""
        several = u.ndim > 1 + self.num_dims
        if not math.prod(u.shape[u.ndim - self.num_dims :]):
            raise ModelInputError(f"ImplicitFNO needs a grid with points, got an input of shape {u.shape}.")
        accept = self.accept if key is None else math.inf
        layer = Equilibrium(
            self.step,
            start=lambda v: v,
            method=self._iteration(),
            gradient=self.gradient,
            linear_solver=Richardson(Anderson(self.history), rtol=self.rtol, max_steps=self.max_steps, accept=accept),
            rtol=self.rtol,
            max_steps=self.max_steps,
            accept=accept,
            axis=1 if several else None,
            throw=False,
        )
        solution, _ = layer.solve(self.inject(u))
        z = crop_domain(solution.value.astype(u.dtype), self._widths(u))
        return self.projection(z), solution

    def inject(self, u: Inexact[Array, "in_channels *batch_space"]) -> Inexact[Array, "width *batch_padded"]:
        """$v$, the lifted and padded input that enters every step, in single precision at least."""
        v = pad_domain(self.lifting(append_coordinates(u, self.num_dims) if self.coordinates else u), self._widths(u))
        return v.astype(jnp.promote_types(u.dtype, jnp.float32))

    def step(
        self, z: Inexact[Array, "width *batch_padded"], v: Inexact[Array, "width *batch_padded"]
    ) -> Inexact[Array, "width *batch_padded"]:
        """$s \\odot B(z) + v$, of which the equilibrium is the fixed point."""
        return self.gate(self.block(z)) + v

    def _widths(self, u: Array) -> tuple[int, ...]:
        padding = self.padding if isinstance(self.padding, tuple) else (self.padding or 0.0,) * self.num_dims
        return padding_widths(padding, u.shape[u.ndim - self.num_dims :])

    def _iteration(self) -> AbstractIteration:
        if self.method == "picard":
            return Picard()
        return Anderson(self.history) if self.method == "anderson" else Broyden(self.history)
