"""Reaction-diffusion equations and four reactions."""

import abc
from itertools import combinations
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply
from neuralop_jax.equations._symmetry import reflection, sign_change, translation, transposition
from neuralop_jax.errors import SolverError


class AbstractReaction(eqx.Module):
    r"""A polynomial $R(u)$ of the values at one point, of `degree` $p$; `odd` if $R(-u) = -R(u)$."""

    num_channels: eqx.AbstractClassVar[int]
    degree: eqx.AbstractClassVar[int]
    odd: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, u: RealField) -> RealField:
        """The rate of change at every point."""


class FisherKPP(AbstractReaction):
    r"""$R(u) = r\,u\,(1 - u)$: logistic growth at the rate $r$, per time.

    **Source:** R. A. Fisher 1937, Ann. Eugenics 7, 355-369; Kolmogorov, Petrovskii and Piskunov 1937.
    """

    rate: float | Array = 1.0
    num_channels: ClassVar[int] = 1
    degree: ClassVar[int] = 2

    def __call__(self, u: RealField) -> RealField:
        return self.rate * u * (1 - u)

    def exact(self, u0: Float[Array, "..."], t: float | Float[Array, ""]) -> Float[Array, "..."]:
        r"""The solution $u_0 / (u_0 + (1 - u_0) e^{-r t})$ without diffusion, at every point by itself."""
        return u0 / (u0 + (1 - u0) * jnp.exp(-self.rate * t))

    def front(self, x: Float[Array, "..."], t: float | Float[Array, ""], diffusivity: float | Array = 1.0) -> Float[Array, "..."]:
        r"""The exact front $u = (1 + e^{\zeta/\sqrt 6})^{-2}$ on the line, $\zeta = x\sqrt{r/\kappa} - 5 r t/\sqrt 6$.

        With the diffusivity $\kappa$; it moves to the right at the speed $5\sqrt{r\kappa/6}$.

        **Source:** Ablowitz and Zeppetella 1979, Bull. Math. Biol. 41, 835-840.
        """
        z = x * jnp.sqrt(self.rate / diffusivity) - 5 * self.rate * t / np.sqrt(6)
        return jax.nn.sigmoid(-z / np.sqrt(6)) ** 2


class AllenCahn(AbstractReaction):
    r"""$R(u) = r\,(u - u^3)$: two phases $u = \pm 1$ separate at the rate $r$, per time.

    **Source:** Allen and Cahn 1979, Acta Metall. 27, 1085-1095.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import AllenCahn

        assert AllenCahn(rate=2.0)(jnp.asarray([[0.5, 1.0]])).tolist() == [[0.75, 0]]
        ```
    """

    rate: float | Array = 1.0
    num_channels: ClassVar[int] = 1
    degree: ClassVar[int] = 3
    odd: ClassVar[bool] = True

    def __call__(self, u: RealField) -> RealField:
        return self.rate * (u - u**3)

    def exact(self, u0: Float[Array, "..."], t: float | Float[Array, ""]) -> Float[Array, "..."]:
        r"""The solution $u_0 / \sqrt{u_0^2 + (1 - u_0^2) e^{-2 r t}}$ without diffusion, at every point by itself."""
        return u0 / jnp.sqrt(u0**2 + (1 - u0**2) * jnp.exp(-2 * self.rate * t))


class FitzHughNagumo(AbstractReaction):
    r"""$R(u, v) = (u - u^3 - k - v,\; u - v)$: an activator and an inhibitor.

    Good values: $k = 0.005$ with the diffusivities $(0.001, 0.005)$ on $(-1, 1)^2$ are those of PDEBench.

    **Source:** Takamoto et al. 2022, arXiv:2210.07182, appendix D.6.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import FitzHughNagumo

        assert FitzHughNagumo(k=0.5)(jnp.asarray([[1.0], [2.0]])).tolist() == [[-2.5], [-1]]
        ```
    """

    k: float | Array = 5e-3
    num_channels: ClassVar[int] = 2
    degree: ClassVar[int] = 3

    def __call__(self, u: RealField) -> RealField:
        activator, inhibitor = u
        return jnp.stack([activator - activator**3 - self.k - inhibitor, activator - inhibitor])


class GrayScott(AbstractReaction):
    r"""$R(u, v) = (-u v^2 + F(1 - u),\; u v^2 - (F + k) v)$: a substrate $u$ and a catalyst $v$ that makes itself.

    Good values: $F$ in 0.01 to 0.08 and $k$ in 0.045 to 0.07 with the diffusivities $(2, 1)\cdot 10^{-5}$ on $(0, 2.5)^2$.

    **Source:** J. E. Pearson 1993, Science 261, 189-192.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import GrayScott

        assert GrayScott()(jnp.asarray([[1.0], [0.0]])).tolist() == [[0], [0]]  # substrate alone stays as it is
        ```
    """

    feed: float | Array = 0.04
    kill: float | Array = 0.06
    num_channels: ClassVar[int] = 2
    degree: ClassVar[int] = 3

    def __call__(self, u: RealField) -> RealField:
        substrate, catalyst = u
        made = substrate * catalyst**2
        return jnp.stack([self.feed * (1 - substrate) - made, made - (self.feed + self.kill) * catalyst])


class ReactionDiffusion(AbstractEvolution):
    r"""$\partial_t u_c = \kappa_c \Delta u_c + R_c(u)$ with a reaction $R$ that acts at every point by itself.

    A reaction of degree $p$ is computed from and on the modes $|m_j| < N_j/(p + 1)$, where it is free of aliasing.

    **Arguments:**

    - `diffusivity`: $\kappa$, in length² per time: one number, or a tuple of one for each channel.
    - `reaction`: `FisherKPP`, `AllenCahn`, `FitzHughNagumo`, `GrayScott`, or one of your own.
    - `num_dims`: 1, 2 or 3.

    **Raises:** `SolverError` for other dimensions, or if the diffusivities are not as many as the channels of the reaction.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import FisherKPP, ReactionDiffusion
        from neuralop_jax.grids import Grid

        grid = Grid((16,), boundary=("periodic",))
        slope = ReactionDiffusion(diffusivity=0.1, reaction=FisherKPP(rate=2.0)).rhs(0.25 * jnp.ones((1, 16)), grid)
        assert jnp.allclose(slope, 2.0 * 0.25 * 0.75, atol=1e-5)
        ```
    """

    diffusivity: float | Array | tuple[float | Array, ...]
    reaction: AbstractReaction
    num_dims: int = eqx.field(default=1, static=True)

    def __check_init__(self):
        if self.num_dims not in (1, 2, 3):
            raise SolverError(f"ReactionDiffusion.num_dims must be 1, 2 or 3, got {self.num_dims}.")
        if isinstance(self.diffusivity, tuple) and len(self.diffusivity) != self.num_channels:
            raise SolverError(
                f"ReactionDiffusion.diffusivity holds {len(self.diffusivity)} numbers, but {type(self.reaction).__name__} has "
                f"{self.num_channels} channels. Give one number for each, or one for all."
            )

    @property
    def num_channels(self) -> int:
        """The channels of the reaction."""
        return self.reaction.num_channels

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        if not isinstance(self.diffusivity, tuple):
            return self.diffusivity * basis.laplacian
        rows = [kappa * basis.laplacian for kappa in self.diffusivity]
        return jnp.stack(rows) if any(isinstance(row, jax.Array) for row in rows) else np.stack(rows)

    def nonlinear(self, c: Complex[Array, "channels *modes"], basis: FourierBasis) -> Complex[Array, "channels *modes"]:
        kept = basis.alias_free_for(self.reaction.degree)
        return multiply(kept, basis.coefficients(self.reaction(basis.field(multiply(kept, c)))))

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, reflections, exchanges of like axes, and for odd reactions the change of sign."""
        axes = range(self.num_dims)
        return (
            *(translation(axis) for axis in axes),
            *(reflection(axis, (1,)) for axis in axes),
            *(transposition(first, second) for first, second in combinations(axes, 2)),
            *((sign_change(),) if self.reaction.odd else ()),
        )
