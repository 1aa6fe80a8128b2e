"""One SQLite file, one process, one thread that writes: what the embedded broker and a client's outbox stand on."""
