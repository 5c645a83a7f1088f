"""Figures of fields, errors, spectra and training, moving pictures, and the page that a report is made of."""

from neuralop_jax.viz._animation import Animation as Animation, animate as animate
from neuralop_jax.viz._certificate import plot_certificate as plot_certificate
from neuralop_jax.viz._curves import (
    plot_curves as plot_curves,
    plot_distribution as plot_distribution,
    plot_resolutions as plot_resolutions,
)
from neuralop_jax.viz._fields import Label as Label, plot_sample as plot_sample, sample_panels as sample_panels
from neuralop_jax.viz._inversion import InversionCurves as InversionCurves, plot_inversion as plot_inversion
from neuralop_jax.viz._page import (
    code as code,
    facts as facts,
    figures as figures,
    folded as folded,
    note as note,
    page as page,
    section as section,
    table as table,
)
from neuralop_jax.viz._spectra import plot_spectra as plot_spectra
