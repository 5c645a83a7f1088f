"""The patches of a domain on several devices."""

import equinox as eqx
import jax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ModelInputError
from neuralop_jax.models._multigrid_patches import MultigridPatches


def evaluate_sharded(
    model: MultigridPatches,
    u: Inexact[Array, "in_channels *batch_space"],
    p: Float[Array, "*batch parameters"] | None = None,
    *,
    mesh: Mesh,
    axis: str = "patches",
    key: PRNGKey | None = None,
) -> Inexact[Array, "out_channels *batch_space"]:
    """`model.evaluate(u, p, key=key)` with the patches of all samples divided among the devices of a mesh.

    Every device has the weights and evaluates its part of the patches; they are made and stitched outside, where the compiler
    places them. The gradient is that of `model.evaluate`: gradients in the weights are added up over the devices.

    **Arguments:**

    - `model`: its operator inside must treat samples apart, which a batch norm in training does not.
    - `u`, `p`, `key`: as of `evaluate`; every device has the same `key`.
    - `mesh`, `axis`: the devices, and the name of the mesh axis along which they share the patches.

    **Raises:** `ModelInputError` unless the mesh has the axis and the patches can be divided evenly.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import MultigridPatches, evaluate_sharded

        inner = {"kind": "fno", "n_modes": [8, 8], "width": 8, "depth": 2}
        model = MultigridPatches(in_channels=1, out_channels=1, operator=inner, levels=1, key=jax.random.key(0))
        mesh = jax.make_mesh((1,), ("patches",))
        v = jax.jit(lambda model, u: evaluate_sharded(model, u, mesh=mesh))(model, jnp.ones((1, 32, 32)))
        assert v.shape == (1, 32, 32)
        ```
    """
    if axis not in mesh.shape:
        raise ModelInputError(f"evaluate_sharded: the mesh has the axes {mesh.axis_names}, not {axis!r}. Name one with axis=....")
    windows, parameters = model.windows(u, p)
    devices = mesh.shape[axis]
    if windows.shape[1] % devices:
        raise ModelInputError(
            f"evaluate_sharded: {windows.shape[1]} patches cannot be divided evenly among {devices} devices. "
            "Take another number of samples or devices."
        )
    weights, rest = eqx.partition(model.inner, eqx.is_array)

    def part(weights, windows, parameters, key):
        return eqx.combine(weights, rest).evaluate(windows, parameters, key=key)

    everywhere, divided = PartitionSpec(), PartitionSpec(None, axis)
    mesh = Mesh(mesh.devices, mesh.axis_names)  # the axes of `jax.make_mesh` want what comes in to be divided already
    outputs = jax.shard_map(part, mesh=mesh, in_specs=(everywhere, divided, PartitionSpec(axis), everywhere), out_specs=divided)(
        weights, windows, parameters, key
    )
    return model.stitched(outputs, u.shape)
