"""heartline.1 itself: a board everybody writes on, and numbers that are counted."""
