"""Rates, outcomes and durations as charts, in one look."""

from llama_batches_nb.charts.durations import plot_durations
from llama_batches_nb.charts.failure_rates import plot_failure_rates
from llama_batches_nb.charts.outcomes import plot_outcomes

__all__ = ["plot_durations", "plot_failure_rates", "plot_outcomes"]
