"""Keep frames and whole projects as Parquet."""
