"""Messages and heartbeats, echoed."""
