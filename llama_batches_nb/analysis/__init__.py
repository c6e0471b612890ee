"""Outcomes, rates, intervals, patterns and comparisons, without network or clock."""
