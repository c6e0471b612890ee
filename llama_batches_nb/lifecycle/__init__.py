"""Create, cancel, retry and wait for batches, and upload files for them."""
