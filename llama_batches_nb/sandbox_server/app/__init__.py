"""The HTTP application of the sandbox: endpoints, middleware and server."""
