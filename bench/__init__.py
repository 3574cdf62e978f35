"""Benchmarks: restyle beside what people would use instead, on the same jobs and the same machine."""
