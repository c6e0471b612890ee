"""What a row is: columns, dtypes, statuses, and user arguments."""
