"""Models whose blocks are computed again for the gradient instead of remembered."""

from typing import Any, TypeVar

import equinox as eqx
import jax

from neuralop_jax.layers import DoubleConvolution, FactorizedAttention, FourierBlock, MultigridConv, NeuralSpectralBlock

Operator = TypeVar("Operator")

BLOCKS = (FourierBlock, FactorizedAttention, MultigridConv, DoubleConvolution, NeuralSpectralBlock)
"""The layers of which models are made one after the other: FNO, TFNO, FactFormer, MgNO and LSM."""


def rematerialize(model: Operator) -> Operator:
    """The same operator; its gradient remembers what goes into each of the `BLOCKS`, and computes the inside again.

    One pass through a whole model remembers every activation: a block of an FNO some ten fields. With this it is one field per
    block, and the inside of one block at a time, where the compiler orders its work by memory, as it does on GPU and TPU.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp

        from neuralop_jax.models import FNO
        from neuralop_jax.training import rematerialize

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=2, key=jax.random.key(0))
        u = jnp.linspace(0.0, 1.0, 8)[None]
        slope = lambda model: jax.grad(lambda u: model(u).sum())(u)
        assert jnp.allclose(slope(rematerialize(model)), slope(model))
        ```
    """
    is_block = lambda node: isinstance(node, BLOCKS)
    return jax.tree.map(lambda node: _Forgetful(node) if is_block(node) else node, model, is_leaf=is_block)


class _Forgetful(eqx.Module):
    """A layer whose call is computed again for the gradient."""

    layer: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return eqx.filter_checkpoint(self.layer)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "layer" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.layer, name)
