"""HTTP requests: one request, one response or one error, within one time limit; and whom TLS trusts."""
