"""What runs benchmarks: building the load generator, starting peers, repeating, reporting."""
