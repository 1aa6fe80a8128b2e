"""Programs that are peer and load in one: run with the words of a benchmark, each prints its sample as JSON."""
