"""The create panel."""
