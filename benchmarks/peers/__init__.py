"""One server a file: each module here has a `PEER`, and starts the server when it is run as a program."""
