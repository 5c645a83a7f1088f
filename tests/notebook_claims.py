"""What the notebooks about inverse problems and about operators with sensors say, as assertions about what they printed."""

import re


def number(printed: str, before: str) -> float:
    """The number that was printed behind a text."""
    return float(printed.split(before)[1].split()[0].rstrip(",;:"))


def claims_of_darcy_inversion(printed: str, num_pictures: int) -> None:
    assert num_pictures == 8
    assert number(printed, "central differences at the last theta: ") < 1e-5
    assert number(printed, "by the spacing of the grid: ") < 1e-3
    solution, implicit, unrolled = (
        number(printed, f"{name} ") for name in ("solution", "slope, implicit", "through the iterations")
    )
    assert implicit < 2 * solution and unrolled > 2 * implicit
    assert number(printed, "<grad J, a> from -J: ") < 1e-11
    central = [float(found) for found in re.findall(r"central difference with .* (\S+)$", printed, re.MULTILINE)]
    assert 80 < central[0] / central[1] < 120 and central[2] < 1e-5  # second order
    costs = re.findall(r"^ +\d+ x \d+ \|.*\| +(\S+) +(\S+) \| +(\S+)$", printed, re.MULTILINE)
    assert costs and all(float(apart) < 1e-9 for *_, apart in costs)
    assert all(float(kept) > 3 * float(ours) for ours, kept, _ in costs)
    assert number(printed, "error of log a: ") < 0.6 and number(printed, "mean of the prior: ") == 1
    assert "fell in every iteration: True" in printed and 0.5 < number(printed, "misfit / noise: ") < 1.3
    assert number(printed, "standard deviation of log a: ") < 0.4


def claims_of_deeponet_multionet(printed: str, num_pictures: int) -> None:
    assert num_pictures == 6
    assert "\n99,713 parameters" in printed  # those of the published network
    assert "ModelInputError: DeepONet reads its input at the 128 sensors" in printed
    assert number(printed, "aligned against Cartesian: largest difference ") < 1e-4
    assert number(printed, "unaligned against Cartesian: ") < 1e-4
    assert number(printed, "closer than the projection: ") == 0
    assert number(printed, "largest output with omega = 0: ") == 0
    assert "branches 0, trunks 0, head " in printed and number(printed, "trunks 0, head ") > 0
    assert "of two input channels: (1, 128)" in printed
