"""HTTP: settings, client, transport, pagination and concurrent requests."""
