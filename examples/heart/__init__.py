"""Text ping and pong."""
