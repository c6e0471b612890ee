"""The HTTP application of the sandbox."""
