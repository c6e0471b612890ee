"""Export frames to Parquet, and keep a project as a dataset that is updated incrementally."""
