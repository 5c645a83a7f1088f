import os
import subprocess
import sys

ON_TWO_DEVICES = """
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from neuralop_jax.errors import ModelInputError
from neuralop_jax.models import MultigridPatches, evaluate_sharded

assert jax.device_count() == 2
inner = {"kind": "fno", "n_modes": [4, 4], "width": 4, "depth": 1, "norm": "adaptive", "num_parameters": 1}
model = MultigridPatches(in_channels=1, out_channels=1, operator=inner, padding=0.125, key=jax.random.key(0))
u, p = jax.random.normal(jax.random.key(1), (1, 3, 8, 8)), jnp.ones((3, 1))
mesh = jax.make_mesh((2,), ("patches",))
loss = lambda evaluate: eqx.filter_jit(eqx.filter_value_and_grad(lambda m: (lambda v: (jnp.sum(v**3), v))(evaluate(m)), has_aux=True))
(_, wanted), whole = loss(lambda m: m.evaluate(u, p))(model)
(_, found), parts = loss(lambda m: evaluate_sharded(m, u, p, mesh=mesh))(model)
np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
alone = MultigridPatches(in_channels=1, out_channels=1, operator=inner, levels=0, key=jax.random.key(0))
try:
    evaluate_sharded(alone, u, p, mesh=mesh)
except ModelInputError as error:
    assert "3 patches cannot be divided evenly among 2 devices" in str(error)
else:
    raise AssertionError("three samples on two devices")
try:
    evaluate_sharded(model, u, p, mesh=mesh, axis="patch")
except ModelInputError as error:
    assert "the mesh has the axes ('patches',), not 'patch'. Name one with axis=" in str(error)
else:
    raise AssertionError("an axis that is not there")
compiled = jax.jit(lambda u, p: evaluate_sharded(model, u, p, mesh=mesh)).lower(u, p).compile().as_text()
assert "[2,6,6,6]" in compiled  # of the twelve patches with two views, each device transforms six
"""


def test_patches_on_two_devices_give_the_result_of_one():
    """Acceptance 11: values and gradients."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
    found = subprocess.run([sys.executable, "-c", ON_TWO_DEVICES], env={**os.environ, **flags}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
