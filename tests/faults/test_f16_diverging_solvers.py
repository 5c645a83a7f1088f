"""F16: steps that are too long are refused before they are made, solutions that blow up are noticed, and generated samples that
fail are computed again with shorter steps, then left out and counted."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, generate
from neuralop_jax.data.generators import GENERATORS, AbstractGenerator
from neuralop_jax.equations import Burgers
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.solvers import ETDRK, integrate

PERIODIC = Grid((64,), boundary=("periodic",))


def test_f16_too_long_steps_are_refused_before_they_are_made():
    u0 = 5 * jnp.sin(2 * jnp.pi * jnp.arange(64) / 64)[None]
    with pytest.raises(SolverError, match=r"Burgers: dt = 0\.1 breaks the CFL condition: .* Use dt <= 0\.0\d+\.") as error:
        integrate(ETDRK(Burgers(viscosity=1e-3), PERIODIC, dt=0.1), u0, 10)
    allowed = float(str(error.value).split("<= ")[1].rstrip("."))
    assert bool(jnp.isfinite(integrate(ETDRK(Burgers(viscosity=1e-3), PERIODIC, dt=0.9 * allowed), u0, 1).values).all())


def test_f16_a_failed_sample_of_a_batch_has_a_code_and_the_others_have_not():
    """Under a transformation nothing can be raised: the codes are 0, success, 6, an unstable step, and 2, not finite."""
    wave = jnp.sin(2 * jnp.pi * jnp.arange(64) / 64)[None]
    step = ETDRK(Burgers(viscosity=1e-3), PERIODIC, dt=1e-3)
    solve = lambda u0: integrate(step, u0, 2, throw=False)
    results = jax.jit(jax.vmap(lambda u0: solve(u0).result))(jnp.stack([wave, 40 * wave, 1e4 * wave, 2 * wave]))
    assert results.tolist() == [0, 6, 2, 0]


class Growth(AbstractGenerator):
    r"""$y' = y^2$ (no solution beyond $t = 1/y_0$) or $y' = -\lambda y$ (explicit steps need $h < 2/\lambda$) up to $t = 1$."""

    num_steps: int = 20
    rate: float = 100.0

    title = "Growth and decay"
    citation = ""
    default_resolution = 2

    @property
    def fields(self):
        return FieldInfo("start"), FieldInfo("end")

    @property
    def parameters(self):
        return {"rate": self.rate}

    def grid(self, resolution):
        return Grid((resolution,))

    def simulate(self, resolution, *, key):
        y0 = jax.random.uniform(key, minval=0.1, maxval=2.0)
        h = 1 / self.num_steps

        def advance(_, y):
            return y + h * jnp.where(y0 < 0.6, -self.rate * y, y**2)

        y = jax.lax.fori_loop(0, self.num_steps, advance, y0)
        fields = {name: jnp.full((1, resolution), value) for name, value in (("start", y0), ("end", y))}
        return fields, jnp.where(jnp.abs(y) < 20, 0, 2)

    def retry(self, attempt):
        return Growth(self.num_steps * 4**attempt, self.rate) if attempt <= 2 else None


def test_f16_generated_samples_are_tried_again_then_left_out_and_counted(monkeypatch, tmp_path):
    monkeypatch.setitem(GENERATORS, "growth", Growth)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(30))
    y0 = np.asarray(jax.vmap(lambda key: jax.random.uniform(key, minval=0.1, maxval=2.0))(keys))
    stiff, endless = y0 < 0.6, y0 > 1.1
    assert stiff.sum() > 3 and endless.sum() > 3 and not ((y0 > 0.9) & (y0 <= 1.1)).all()
    info = generate(Growth(), tmp_path / "x.h5", num_samples=30, batch=5, splits={"train": 30}, max_failed=0.9)
    told = json.loads(info.generation)
    failed = [number for number, reason in told["failed"]]
    assert set(np.flatnonzero(endless)) <= set(failed) and all(y0[number] > 0.95 for number in failed)
    assert {reason for _, reason in told["failed"]} <= {"result code 2", "values not finite"}
    assert {number: attempts for number, attempts in told["retried"] if y0[number] < 0.6} == dict.fromkeys(
        np.flatnonzero(stiff), 1
    )
    data = HDF5Dataset(tmp_path / "x.h5", "train", "start", "end").read_all()
    assert len(data.target) == info.splits["train"].num_samples == 30 - len(failed)
    np.testing.assert_allclose(data.inputs["u"][:, 0, 0], np.delete(y0, failed), rtol=1e-6)
    with pytest.raises(SolverError, match="of 30 samples failed so far, more than max_failed allows"):
        generate(Growth(), tmp_path / "y.h5", num_samples=30, batch=5)
