import io

from rich.console import Console

from neuralop_jax.training._display import ProgressDisplay, plain_console

LINE = {"step": 50, "loss": 0.123456, "learning_rate": 1e-3, "gradient_norm": 0.5, "steps_per_second": 25.0}
SPLITS = {"test_16": {"relative_l2": 0.0875}, "test_32": {"relative_l2": 0.1}}


def test_plain_lines_without_a_terminal(capsys):
    with ProgressDisplay(100, console=plain_console()) as display:
        display.update(LINE)
        display.update({**LINE, "step": 100, "splits": SPLITS})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step 50/100  loss 0.12346  lr 1.00e-03  gradient 5.00e-01  25.0 steps/s  ETA 2 s"
    assert "step 100/100" in second and "test_16 0.0875  test_32 0.1000" in second and "ETA 0 s" in second


def test_a_bar_in_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with ProgressDisplay(100, done=25, console=console) as display:
        display.update({**LINE, "splits": SPLITS})
    shown = console.file.getvalue()
    for part in ("25/100", "50/100", "loss 0.12346", "25.0 steps/s", "test_16 0.0875", "ETA"):
        assert part in shown
