"""From the facts of a run to the sections of its page."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neuralop_jax import viz
from neuralop_jax.cli._certificate import HEADS, rows, sentences
from neuralop_jax.cli._report_facts import RunReport, SplitReport
from neuralop_jax.config import to_json
from neuralop_jax.metrics import nyquist

_NAMES = {
    "relative_l2": "relative L2 error",
    "relative_h1": "relative H1 error",
    "difference_h1": "relative H1 error",
    "truncated_h1": "truncated H1 error",
    "mse": "mean square error",
    "cross_entropy": "cross-entropy",
}


def render(report: RunReport) -> str:
    """The page of a run."""
    parts = [viz.note(text, "note") for text in report.notes]
    parts += [*_errors(report), *_training(report), *_pictures(report), *_analysis(report), *_certificate(report)]
    parts += [_model(report), _timing(report), _environment(report), _reproduction(report)]
    return viz.page(_title(report), _subtitle(report), parts)


def _title(report: RunReport) -> str:
    data = report.info.title or report.info.name if report.info else report.config.data.path
    return f"{report.config.model.kind.upper().replace('_', ' ')} on {data}"


def _subtitle(report: RunReport) -> str:
    fields = f"{', '.join(report.config.data.input)} → {', '.join(report.config.data.target)}"
    started = str(report.environment.get("started", ""))[:10]
    return " · ".join(filter(None, [f"run {report.name}", fields, f"seed {report.config.seed}", started]))


def _tables(report: RunReport) -> dict[str, Mapping[str, Any]]:
    """The errors of each split: of a finished training those on record, else those computed now; the others fill in."""
    now, recorded = {name: split.errors for name, split in report.splits.items()}, report.results.get("splits", {})
    return {**now, **recorded} if report.finished else {**recorded, **now}


def _errors(report: RunReport) -> Iterator[str]:
    tables = _tables(report)
    if not tables:
        return
    grid = _training_grid(report)
    rows = []
    for name, split in tables.items():
        shape = _times(split["grid"]) + (" (training grid)" if tuple(split["grid"]) == grid else "")
        values = (_with_spread(split, key) for key in ("relative_l2", "relative_h1", "max_error"))
        right = (f"{split['accuracy']:.4f}",) if "accuracy" in split else ()
        rows.append((name, shape, split["count"], *values, *right))
    heads = ("split", "grid", ">samples", ">relative L2", ">relative H1", ">largest error")
    heads += (">accuracy",) if all("accuracy" in split for split in tables.values()) else ()
    parts = [viz.table(heads, rows), viz.note("Mean ± standard deviation over the samples of each split, in physical units.")]
    if any("channels" in split for split in tables.values()):
        parts.append(_channel_table(report, tables))
    named = {name: (s["grid"], s["relative_l2"], s.get("spread", {}).get("relative_l2", 0.0)) for name, s in tables.items()}
    drawn = {}
    if len({tuple(split["grid"]) for split in tables.values()}) > 1:
        drawn["Relative L2 error by resolution: mean and standard deviation over the samples."] = viz.plot_resolutions(
            named, _NAMES["relative_l2"], trained_on=grid
        )
    if report.splits:
        errors = {name: split.sample_errors for name, split in report.splits.items()}
        drawn["Distribution of the error over the samples; a dot marks the median."] = viz.plot_distribution(
            errors, _NAMES["relative_l2"]
        )
    if drawn:
        parts.append(viz.figures(drawn, least="20rem", captions=True))
    yield viz.section("Errors on held-out data", *parts)


def _channel_table(report: RunReport, tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The relative L2 error of every channel alone, folded away if there are many."""
    columns = {name: split["channels"]["relative_l2"] for name, split in tables.items() if "channels" in split}
    count = len(report.output) or max(map(len, columns.values()))
    names = [label.name for label in report.output] or [f"channel {number}" for number in range(count)]
    columns = {name: values for name, values in columns.items() if len(values) == count and "frames" not in tables[name]}
    if not columns:
        return ""
    rows = [(names[c], *(_digits(values[c], 4) for values in columns.values())) for c in range(count)]
    body = viz.table(("relative L2 error of each channel alone", *(f">{name}" for name in columns)), rows)
    return viz.folded("Relative L2 error of each channel alone", body) if count > 6 else body


def _training(report: RunReport) -> Iterator[str]:
    lines, kind = report.metrics, report.config.loss.kind
    if not lines:
        return
    column = lambda key: ([line["step"] for line in lines if key in line], [line[key] for line in lines if key in line])
    held: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        for name, split in line.get("splits", {}).items():
            steps, values = held.setdefault(f"{name} (relative L2)" if kind == "relative_l2" else name, ([], []))
            steps.append(line["step"])
            values.append(split["relative_l2"])
    drawn = {}
    if kind == "relative_l2":
        drawn["Training loss and errors on held-out data."] = viz.plot_curves(
            {**held, "training loss": column("loss")},
            _NAMES[kind],  # a split has one color on the whole page
        )
    else:
        drawn["Training loss."] = viz.plot_curves({"training loss": column("loss")}, _NAMES[kind])
        if held:
            drawn["Errors on held-out data."] = viz.plot_curves(held, _NAMES["relative_l2"])
    drawn["Learning rate."] = viz.plot_curves({"learning rate": column("learning_rate")}, "learning rate", log=False)
    drawn["Norm of the gradient, the mean over each interval."] = viz.plot_curves(
        {"gradient norm": column("gradient_norm")}, "gradient norm"
    )
    yield viz.section("Training", viz.figures(drawn, least="18rem", captions=True))


def _pictures(report: RunReport) -> Iterator[str]:
    for name, split in report.splits.items():
        parts = []
        if len(report.output) > 3 or len(report.input) > 3:
            parts.append(viz.note("Of the channels the first, the middle and the last are shown."))
        for sample in split.shown:
            rows = viz.sample_panels(
                sample.u, sample.target, sample.prediction, split.grid, input=report.input, output=report.output
            )
            parts.append(f"<h3>{sample.title[0].upper()}{sample.title[1:]}</h3>")
            for row in rows:
                drawn = {f"{name}, {sample.title}, {number}: {panel.title}": panel.figure() for number, panel in enumerate(row)}
                least = "15rem" if split.grid.num_dims > 1 else "18rem"
                parts.append(viz.figures(drawn, least=least, format="png" if split.grid.num_dims > 1 else "svg"))
        yield viz.section(f"Predictions: {name} ({_times(split.grid.shape)} points)", *parts)


def _analysis(report: RunReport) -> Iterator[str]:
    fields = {name: split for name, split in report.splits.items() if "accuracy" not in split.errors}
    if not fields:  # classes have no spectrum
        return
    drawn = {
        f"{name} ({_times(split.grid.shape)} points)": viz.plot_spectra(
            **{name: np.asarray(energy) for name, energy in split.spectra.items()},
            limit=nyquist(split.grid),
            marks=_marks(report, split),
            label="share of the target's energy",
        )
        for name, split in fields.items()
    }
    text = (
        "Energy by wavenumber, up to the Nyquist wavenumber of each grid: the mean over samples and channels, divided by the "
        "energy of the target. Along an axis that is not periodic the cosine transform takes the place of the Fourier transform."
    )
    yield viz.section("Spectra", viz.figures(drawn, least="20rem", captions=True), viz.note(text))


def _certificate(report: RunReport) -> Iterator[str]:
    if certificate := report.certificate:
        drawn = {"Difference and error on each grid.": viz.plot_certificate(certificate)}
        parts = [viz.table(HEADS, list(rows(certificate))), *map(viz.note, sentences(certificate))]
        yield viz.section("Other grids", *parts, viz.figures(drawn, least="24rem", captions=True))


def _model(report: RunReport) -> str:
    count = report.results.get("parameters") or report.parameters
    spec = ((name, ", ".join(map(str, value)) if isinstance(value, list) else value) for name, value in report.spec.items())
    return viz.section("Model", viz.facts([("parameters (real numbers)", f"{count:,}" if count else None), *spec]))


def _timing(report: RunReport) -> str:
    results, last = report.results, report.metrics[-1] if report.metrics else {}
    seconds = lambda value: None if value is None else f"{value:.1f} s"
    speeds = [line["steps_per_second"] for line in report.metrics if "steps_per_second" in line]
    pairs = [
        ("steps", f"{results.get('steps', last.get('step', 0)):,} of {report.config.training.steps:,}"),
        ("batch size", report.config.data.batch_size),
        ("steps per second (median)", f"{statistics.median(speeds):.1f}" if speeds else None),
        ("training time in all", seconds(results.get("train_seconds", last.get("seconds")))),
        ("compilation of the step", seconds(results.get("compile_seconds"))),
    ]
    return viz.section("Timing", viz.facts(pairs))


def _environment(report: RunReport) -> str:
    env = report.environment
    device = " ".join(str(env["device"][key]) for key in ("count", "platform", "kind")) if "device" in env else None
    git = env.get("git") and f"{env['git']}{' with changes' if env.get('git_changes') else ''}"
    pairs = [
        ("started", env.get("started")),
        ("devices", device),
        ("system", env.get("system")),
        ("double precision", {True: "on", False: "off"}.get(env.get("x64", ""))),
        ("git revision", git),
        ("sha256 of the training split", env.get("data")),
        *env.get("versions", {}).items(),
    ]
    return viz.section("Environment", viz.facts(pairs))


def _reproduction(report: RunReport) -> str:
    command = report.results.get("command") or report.environment.get("command", "")
    parts = [viz.code(" ".join(word for word in command.split(" ") if word != "--resume"))] if command else []
    parts.append(viz.folded("The whole configuration", viz.code(json.dumps(to_json(report.config), indent=2))))
    if report.info:
        known = {"source": report.info.source, "license": report.info.license, "citation": report.info.citation}
        rows = [("data", report.config.data.path), *report.info.parameters.items(), *known.items()]
        parts.append(viz.table(("", ""), [(name, value) for name, value in rows if value not in ("", None)]))
    return viz.section("To reproduce", *parts)


def _training_grid(report: RunReport) -> tuple[int, ...]:
    return report.info.splits[report.config.data.train_split].grid.shape if report.info else ()


def _marks(report: RunReport, split: SplitReport) -> dict[str, float]:
    """The wavenumbers up to which the operator's modes and the training grid reach on the axis where they reach least."""
    longest = max(n * h for n, h in zip(split.grid.shape, split.grid.spacing, strict=True))
    marks = {}
    modes, padding = report.spec.get("n_modes"), report.spec.get("padding") or 0.0
    if isinstance(modes, Sequence) and len(modes) == split.grid.num_dims:
        fractions = padding if isinstance(padding, Sequence) else [padding] * len(modes)
        axes = zip(modes, fractions, split.grid.shape, split.grid.spacing, strict=True)
        marks["kept modes"] = min((m // 2) * longest / ((1 + 2 * f) * n * h) for m, f, n, h in axes)
    grid = _training_grid(report)
    if grid and grid != split.grid.shape and report.info:
        spacing = report.info.splits[report.config.data.train_split].grid.spacing
        marks["training grid"] = longest / (2 * max(spacing))
    return marks


def _with_spread(split: Mapping[str, Any], key: str) -> str:
    spread = split.get("spread", {}).get(key)
    return _digits(split[key], 4) + ("" if spread is None else f" ± {_digits(spread, 2)}")


def _digits(value: float, count: int) -> str:
    return f"{value:#.{count}g}".removesuffix(".")


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
