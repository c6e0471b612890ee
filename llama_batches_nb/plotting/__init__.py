"""Charts of rates, outcomes and durations."""
