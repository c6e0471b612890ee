"""Read batches, results, jobs, files and directories."""
