"""Time and memory of the analysis functions beside hand-written queries for the same answer."""
