"""The state of the sandbox: sample data, simulated jobs and clock."""
