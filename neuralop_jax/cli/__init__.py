"""The command line: `python -m neuralop_jax VERB ...`, one file per verb."""

from ._main import main as main
