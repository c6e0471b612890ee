"""Widgets for Jupyter and Voila. ipywidgets is imported when the first panel is created."""
