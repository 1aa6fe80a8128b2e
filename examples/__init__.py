"""Five systems and a gallery: what `heartline demo` serves. See README.md."""
