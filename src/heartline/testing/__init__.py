"""Tools for testing with heartline and heartline itself: the simulator, contract checkers."""
