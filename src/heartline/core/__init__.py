"""What to do, on either side, as pure machines: time, randomness and ids are handed in, effects drained."""
