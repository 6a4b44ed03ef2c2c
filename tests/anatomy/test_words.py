"""Words in the anatomy's panels stand where no curve is."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hw2exp.anatomy.words import legend_above


@pytest.mark.nightly
@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("lines", "columns", "size"), [(1, 1, 8), (3, 1, 8), (6, 3, 7), (6, 1, 8)])
def test_a_legend_covers_no_curve(scale, lines, columns, size):
    figure = Figure((15, 9.2), layout="constrained")
    axes = figure.add_subplot(3, 3, 1)
    x = np.arange(20.0)
    for number in range(lines):
        axes.plot(x, 10 ** np.linspace(3, -3 + number, 20), label=f"curve {number}")
        axes.plot(x, np.full(20, 1e3))
    axes.set_yscale(scale)
    legend_above(axes, size, columns)
    FigureCanvasAgg(figure).draw()
    covered = axes.get_legend().get_window_extent()
    for line in axes.lines:
        points = axes.transData.transform(np.column_stack(line.get_data()))
        assert covered.y0 > points[:, 1].max()
    assert covered.y1 <= axes.get_window_extent().y1 + 2
