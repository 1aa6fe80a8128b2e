"""Instruction counts of the hot paths, which do not depend on the machine's mood: `python -m benchmarks.budget`."""
