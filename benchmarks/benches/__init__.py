"""One benchmark a file: each module here has a `BENCH`."""
