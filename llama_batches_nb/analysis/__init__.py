"""Outcomes, rates, intervals, patterns and comparisons. No network, no clock."""
