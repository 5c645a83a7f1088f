"""`sweep CONFIG`: every combination of some options, for several seeds, as runs that are compared."""

import collections
import dataclasses
import functools
import itertools
import json
import math
import re
import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from neuralop_jax._checks import did_you_mean, printable
from neuralop_jax._run_files import read_config, read_results
from neuralop_jax._spared_output import spared_output
from neuralop_jax._strict_json import strict
from neuralop_jax._whole_files import write_whole
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.cli.train import stopping, write_page
from neuralop_jax.config import ExperimentConfig, config_difference, load_config, to_json
from neuralop_jax.errors import ConfigError, NeuralOpError, RunDirError

_METRICS = ("relative_l2", "relative_h1", "normalized_rmse", "max_error", "accuracy", "num_evaluations")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Train every combination of some options for several seeds, and compare their errors on a held-out split.

    Each run has a directory of its own below OUT, as train makes it. Given again, the command keeps what is finished and resumes
    what is not. Runs that differ in the seed, optimizer.learning_rate or optimizer.weight_decay alone are trained together by one
    program. Other options in the form --section.option VALUE are the same for all runs. OUT/sweep.json holds the table.
    """

    config: tyro.conf.Positional[Path]
    """The experiment, a TOML file."""
    _: dataclasses.KW_ONLY
    out: Path
    """The directory of the runs."""
    over: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """OPTION=VALUE,VALUE; may be repeated. A list as a value stands in brackets: model.n_modes=[8,8],[16,16]."""
    seeds: str = "0"
    """Seeds, separated by commas."""
    split: str = ""
    """The held-out split to compare by; the first one if left out."""
    metric: str = "relative_l2"
    """The error to compare by, as evaluate names it, or accuracy."""
    at_once: int = 8
    """Runs that are trained together, at most; 1 trains one after the other."""


@dataclasses.dataclass(frozen=True)
class SweepHelp(Sweep):
    __doc__ = Sweep.__doc__

    experiment: Annotated[ExperimentConfig, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class Member:
    """A run of a sweep: its directory, its configuration, the setting it belongs to, and the words that train it alone."""

    run: Path
    config: ExperimentConfig
    setting: str
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """What trains it alone."""
        return shlex.join(["python", "-m", "neuralop_jax", "train", *self.words])


@spared_output()
def sweep(options: Sweep, overrides: Sequence[str]) -> int:
    """Trains as `options` say and prints what came of it; the exit code is 1 if a run failed, 128 + a signal that stopped it."""
    members = _members(options, overrides)

    from neuralop_jax import models, training

    for member in members:
        models.check_options(member.config.model.kind, member.config.model.options)
    split = _compared_split(options, members)
    missing = [member for member in members if not _finished(member)]
    if len(missing) < len(members):
        say(f"{len(members) - len(missing)} of {len(members)} runs are finished.")
    failed = _damaged([member for member in members if member not in missing])
    for run, why in failed.items():
        say(f"{run.name} failed: {why}")
    stop = training.StopRequest()
    with stopping(stop) as received:
        for group in _groups(missing, options.at_once):
            say(f"Training {', '.join(member.run.name for member in group)}")
            runs, commands = {each.run: each.config for each in group}, {each.run: each.command for each in group}
            outcomes = training.fit_together(runs, stop=stop, commands=commands)
            for run, outcome in outcomes.items():
                if isinstance(outcome, Exception):
                    failed[run] = _reason(outcome)
                    say(f"{run.name} failed: {failed[run]}")
                elif outcome.results is not None:
                    write_page(run)
            if stop.requested:
                break
    table = summary(members, split, options.metric, failed)
    _show(table, split, options.metric)
    done = {"command": shlex.join(["python", "-m", "neuralop_jax", *sys.argv[1:]]), "split": split, "metric": options.metric}
    _write(options.out / "sweep.json", {**done, "settings": table})
    if received:
        say("Stopped and saved. The same command goes on.")
        return 128 + received[0]
    return 1 if failed else 0


def _members(options: Sweep, overrides: Sequence[str]) -> list[Member]:
    """All runs, setting by setting and seed by seed; every configuration is checked before anything is trained."""
    if options.at_once < 1:
        raise ConfigError(f"--at-once must be at least 1, got {options.at_once}.")
    if options.metric not in _METRICS:
        known = ", ".join(_METRICS)
        raise ConfigError(f"--metric {options.metric!r} is unknown.{did_you_mean(options.metric, _METRICS)} Known: {known}.")
    if (options.out / "config.json").exists():
        raise RunDirError(f"{options.out} is a run of train, and would get others inside. Choose another --out.")
    if any(word.partition("=")[0] == "--seed" for word in overrides):
        raise ConfigError("sweep takes the seeds of its runs from --seeds 0,1,2. Leave --seed out.")
    seeds = [seed.strip() for seed in options.seeds.split(",")]
    varied = dict(map(_varied, options.over))
    if len(varied) < len(options.over):
        raise ConfigError("--over names an option twice. Give all its values at once: --over OPTION=VALUE,VALUE.")
    members = []
    for values in itertools.product(*varied.values()):
        chosen = [word for name, value in zip(varied, values, strict=True) for word in (f"--{name}", value)]
        for seed in seeds:
            words = (*overrides, *chosen, "--seed", seed)
            config = load_config(options.config, words)
            setting = ",".join(f"{name}={_value(config, name)}" for name in varied)
            name = f"{setting},seed={config.seed}" if setting else f"seed={config.seed}"
            run = options.out / re.sub(r"[^\w=,.+-]", "_", name)  # a checkpoint below a name with brackets is not found again
            members.append(Member(run, config, setting, (str(options.config), *words, "--out", str(run))))
    (run, count), *_ = collections.Counter(member.run for member in members).most_common(1)
    if count > 1:
        raise ConfigError(f"two runs would be the same: {run.name}. Give every value and every seed once.")
    return members


def _varied(text: str) -> tuple[str, list[str]]:
    """`"model.width=16,32"` as the name of an option and its values; commas inside brackets belong to a value."""
    name, equals, values = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    found = [value.strip() for value in re.split(r",(?![^\[\]]*\])", values)]
    if not (equals and "." in name and all(found)):
        raise ConfigError(f"--over must be OPTION=VALUE,VALUE such as optimizer.learning_rate=1e-3,3e-4, got {text!r}.")
    return name, found


def _value(config: ExperimentConfig, name: str) -> str:
    """The value of an option as text that does not depend on how it was written."""
    value: Any = functools.reduce(lambda tree, part: tree[part], name.split("."), to_json(config))
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _compared_split(options: Sweep, members: Sequence[Member]) -> str:
    """The split by which runs are compared; `ConfigError` if the data of one of them have no such held-out split."""
    from neuralop_jax.data import read_info

    chosen = options.split
    for data in dict.fromkeys(member.config.data for member in members):
        known = read_info(data.path, (*data.input, *data.target), num_dims=data.num_dims).splits
        held_out = [name for name in known if name != data.train_split]
        if not held_out:
            raise ConfigError(
                f"{data.path} has no split but {data.train_split!r}: runs could not be compared. Add a held-out one."
            )
        chosen = chosen or held_out[0]
        if chosen not in held_out:
            raise ConfigError(
                f"--split {chosen!r} is no held-out split of {data.path}, which has {', '.join(held_out)}."
                f"{did_you_mean(chosen, held_out)}"
            )
    return chosen


def _finished(member: Member) -> bool:
    """Whether the run of a member is there, whole, and of this configuration; what else is there `fit` resumes or refuses."""
    try:
        return (member.run / "DONE").exists() and not config_difference(read_config(member.run), member.config)
    except NeuralOpError:
        return False


def _results(member: Member) -> dict[str, Any]:
    """The figures of a finished run; `RunDirError` if they are not there."""
    results = read_results(member.run)
    for name in ("splits", "train_seconds"):
        if name not in results:
            raise RunDirError(
                f"{member.run / 'results.json'} is missing or has no {name!r}. Restore it, or remove the run to train it again."
            )
    return results


def _damaged(finished: Sequence[Member]) -> dict[Path, str]:
    """The runs that have ended but whose figures cannot be read, and why."""
    found = {}
    for member in finished:
        try:
            _results(member)
        except RunDirError as error:
            found[member.run] = _reason(error)
    return found


def _groups(members: Sequence[Member], at_once: int) -> Iterator[list[Member]]:
    """Members that one program can train, at most so many at once."""
    from neuralop_jax.training import alike

    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(alike(member.config), []).append(member)
    for group in groups.values():
        yield from (group[start : start + at_once] for start in range(0, len(group), at_once))


def _reason(error: Exception) -> str:
    """A failure in one line."""
    return printable(error if isinstance(error, NeuralOpError) else f"{type(error).__name__}: {str(error)[:200]}")


def summary(members: Sequence[Member], split: str, metric: str, failed: Mapping[Path, str]) -> list[dict[str, Any]]:
    """The settings in order: the errors of their runs, mean, deviation and 95 % interval over the seeds, and which is `best`.

    A setting of which a run is not finished, failed or diverged on the split cannot be the best.
    """
    from neuralop_jax.evaluation import student_interval

    settings: dict[str, list[dict[str, Any]]] = {}
    for member in members:
        runs = settings.setdefault(member.setting, [])
        runs.append({"run": member.run.name, "seed": member.config.seed, "command": member.command})
        if member.run in failed:
            runs[-1]["failed"] = failed[member.run]
        elif _finished(member):
            results = _results(member)
            found = results["splits"].get(split, {})
            runs[-1] |= {"error": math.inf if "diverged" in found else found.get(metric), "seconds": results["train_seconds"]}
    table = []
    for setting, runs in settings.items():
        values = [run["error"] for run in runs if run.get("error") is not None]
        whole = len(values) == len(runs) and all(map(math.isfinite, values))
        spread = {"deviation": statistics.stdev(values), "interval": student_interval(values)} if whole and len(runs) > 1 else {}
        mean = statistics.fmean(values) if values else None
        table.append({"setting": setting, "mean": mean, **spread, "whole": whole, "best": False, "runs": runs})
    order = sorted((row["mean"] for row in table if row["whole"]), reverse=metric == "accuracy")
    for row in table:
        row["best"] = row["whole"] and row["mean"] == order[0]
    return table


def _show(table: Sequence[Mapping[str, Any]], split: str, metric: str) -> None:
    lines = []
    for row in table:
        mean, spread = row["mean"], f" ± {row['deviation']:.2g}" if "deviation" in row else ""
        interval = " to ".join(f"{end:.4g}" for end in row.get("interval", ())) or "-"
        finished = sum("error" in run for run in row["runs"])
        lines.append(
            (
                row["setting"] or "-",
                "-" if mean is None else f"{mean:.4g}{spread}",
                interval,
                f"{finished} of {len(row['runs'])}",
                f"{sum(run.get('seconds', 0.0) for run in row['runs']):.1f}",
                "best" if row["best"] else "",
            )
        )
    show_table(("setting", f">{metric}, {split}", ">95 % interval", ">runs", ">training / s", ""), lines)


def _write(path: Path, tree: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(strict(tree), indent=1) + "\n")
    except OSError as error:
        raise RunDirError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from error
