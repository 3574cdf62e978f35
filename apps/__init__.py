"""The doors people come in by: the command line, the sandbox, the embedded stack."""
