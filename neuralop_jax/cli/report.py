"""`report RUN`: the run as one HTML page."""

from pathlib import Path

from tyro.conf import Positional

from neuralop_jax._run_files import read_config
from neuralop_jax.cli._console import say


def report(run: Positional[Path], *, data: Path | None = None) -> None:
    """Write RUN/report.html, one self-contained page with curves, pictures, errors and the environment of a run.

    Args:
        run: The run directory.
        data: The file of its data, if that moved.
    """
    read_config(run)

    from neuralop_jax.cli._report import write_report

    say(f"Report: {write_report(run, data)}")
