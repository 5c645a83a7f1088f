"""A model of one's own, written in Flax, on the whole path: registered by a module, trained, evaluated, exported, used."""

import sys

import numpy as np
import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.models import REGISTRY

MODULE = """
import equinox as eqx
import jax.numpy as jnp
from flax import linen

from neuralop_jax.interop import from_flax
from neuralop_jax.models import REGISTRY, AbstractOperator


class Net(linen.Module):
    width: int
    out_channels: int

    @linen.compact
    def __call__(self, u):
        u = linen.Conv(self.width, (3, 3), padding=1)(u)
        return linen.Dense(self.out_channels)(linen.gelu(u))


class Mine(AbstractOperator):
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    net: AbstractOperator

    def __init__(self, *, in_channels: int, out_channels: int, width: int = 16, key):
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        module = Net(width, out_channels)
        variables = module.init(key, jnp.ones((1, 8, 8, in_channels)))
        self.net = from_flax(module, variables, in_channels=in_channels, out_channels=out_channels, num_dims=2)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return self.net(u)


REGISTRY["mine"] = Mine
"""


@pytest.fixture
def registered(place):
    """The module `my_models` in the working directory; what it registers is gone afterward."""
    (place / "my_models.py").write_text(MODULE)
    kinds, path = set(REGISTRY), list(sys.path)
    yield place
    for kind in set(REGISTRY) - kinds:
        del REGISTRY[kind]
    sys.path[:] = path
    sys.modules.pop("my_models", None)


def test_a_flax_model_from_training_to_predictions(registered, capsys):
    text = (registered / "run.toml").read_text().replace('"fno"', '"mine"')
    (registered / "mine.toml").write_text(text.replace("n_modes = [4, 4]\n", "").replace("depth = 1\n", ""))
    train = ["train", "mine.toml", "--out", "runs/mine"]
    assert main(train) == 2
    assert "unknown model 'mine'" in (said := capsys.readouterr().err) and "--import" in said
    assert main(["--import", "my_models", *train]) == 0
    assert main(["export", "runs/mine", "it served", "--import=my_models"]) == 0
    assert "Try: neuralop-jax predict 'it served' IN OUT" in (said := capsys.readouterr().out)
    assert "It is for grids of 2 x 2 points and more." in said
    for source in ("runs/mine", "it served"):
        assert main(["predict", source, "smooth.h5", f"out/{source}/v.npz", "--split", "test_16"]) == 0
    with np.load("out/runs/mine/v.npz") as one, np.load("out/it served/v.npz") as other:
        np.testing.assert_allclose(one["v"], other["v"], rtol=1e-5, atol=1e-6)
        assert one["v"].shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--import", "my_modles"], "--import my_modles: there is no such module (looked in "),
        (["--import", "my_models.more"], "--import my_models.more: there is no such module (looked in "),
        (
            ["--import", "my_models.py"],
            "--import takes the name of a module, such as my_models for my_models.py, got 'my_models.py'.",
        ),
        (["--import"], "--import takes the name of a module, such as my_models for my_models.py, got ''."),
    ],
)
def test_what_is_no_module_is_refused(registered, capsys, words, message):
    assert main([*words, "doctor"] if words[1:] else ["doctor", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_imports_nothing(registered, capsys):
    (registered / "run.toml").write_text('import = "my_models"\n' + (registered / "run.toml").read_text())
    assert main(["train", "run.toml", "--out", "runs/mine"]) == 2
    assert "unknown option 'import'" in capsys.readouterr().err and "my_models" not in sys.modules
