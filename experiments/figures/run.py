"""An adapter: all figures of one run."""

from figures import inside, style


def run_figures(log: dict) -> dict:
    return style.run_figures(log) | inside.run_diagnostics(log)
