"""How it is spelt on a wire."""
