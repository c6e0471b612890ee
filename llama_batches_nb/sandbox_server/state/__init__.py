"""The state of the sandbox: sample data, simulated jobs, clock."""
