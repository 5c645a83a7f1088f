"""`leaderboard RUN ...`: finished runs become lines of the tables in the README and the dataset cards."""

import os
from pathlib import Path

from tyro.conf import Positional

from neuralop_jax._run_files import read_config
from neuralop_jax._whole_files import alone_with
from neuralop_jax.cli._console import say
from neuralop_jax.cli._run import write_json
from neuralop_jax.errors import RunDirError


def leaderboard(runs: Positional[tuple[Path, ...]] = ()) -> None:
    """Add finished runs to the file results.json beside their data, and write every table of results anew.

    A run of the same configuration, options and seed as an earlier one takes its place. Tables are those between the marks
    <!-- results of FILE --> and <!-- end of results --> in README.md and datasets/*/README.md of the working directory.

    Args:
        runs: Run directories; none only writes the tables.
    """
    from neuralop_jax.evaluation import merge, read_records, record, rewrite

    pages = [page for page in (Path("README.md"), *sorted(Path("datasets").glob("*/README.md"))) if page.is_file()]
    with alone_with(Path("leaderboard")):
        for page in pages:  # before anything is written
            rewrite(page, only_check=True)
        found = {run: (Path(read_config(run).data.path).parent / "results.json", record(run)) for run in runs}
        for run, (file, entry) in found.items():
            if not os.path.isdir(file.parent):
                raise RunDirError(f"{run}: the folder {file.parent} of its data is not here. Run this where the training ran.")
            write_json(file, merge(read_records(file), [entry]), indent=1)
            say(f"{run} is in {file}.")
        for page in pages:
            if rewrite(page):
                say(f"{page} has new tables.")
