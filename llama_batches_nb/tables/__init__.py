"""Columns and dtypes of each table, API records, frame engines and user arguments."""
