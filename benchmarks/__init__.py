"""Benchmarks: heartline beside others on the same machine. See README.md."""
