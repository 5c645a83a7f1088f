"""`export RUN OUT`: a trained operator as a program that runs without the code of its model."""

import shlex
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from neuralop_jax.cli._console import say


def export(
    run: Positional[Path],
    output: Positional[Path],
    *,
    resolution: Literal["auto", "any", "fixed"] = "auto",
    platforms: tuple[Literal["cpu", "cuda", "tpu"], ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Write the trained operator of RUN into the new directory OUTPUT, as a program (StableHLO) for any number of samples.

    Beside it stand the weights as safetensors and a card of names, units, grid, normalizers, configuration and errors.
    predict takes OUTPUT in place of a run, and so does neuralop_jax.serving.Predictor.load, without the code of the model.

    Args:
        run: The run directory.
        output: The directory to write.
        resolution: Grids that the program is for: any, the fixed one of the training, or auto for any where that is possible.
        platforms: What the program is for.
    """
    from neuralop_jax.serving import export_operator, load_run

    operator, card = load_run(run)
    card = export_operator(output, operator, card, resolution=resolution, platforms=platforms)
    if card.smallest_grid is None:
        grid = " x ".join(map(str, card.grid.shape))
        why = "" if resolution == "fixed" else ", because the shapes of this operator depend on the number of points"
        say(f"It is for the grid of {grid} points alone{why}.")
    else:
        say(f"It is for grids of {' x '.join(map(str, card.smallest_grid))} points and more.")
    size = sum(file.stat().st_size for file in output.iterdir())
    say(f"{output}: {', '.join(platforms)}, {size:,} bytes. Try: neuralop-jax predict {shlex.quote(str(output))} IN OUT")
