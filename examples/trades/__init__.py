"""Live positions, for whoever holds the connection."""
