"""Create, wait for, cancel, retry batches; upload their files."""
