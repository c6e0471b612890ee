"""The filter panel."""
