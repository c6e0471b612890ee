"""The commands of `python -m llama_batches_nb`."""
