"""An adapter: the figures that compare the cells of a sweep."""

from figures import style
from findings.sweep import Sweep


def grid_figures(sweep: Sweep) -> dict:
    return style.grid_figures([log for cell in sweep.cells for log in cell.logs])
