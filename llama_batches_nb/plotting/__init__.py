"""Charts of failure rates, outcomes and durations."""
