"""A client in Python: heartline's without anything compiled."""

from dataclasses import replace

from benchmarks.harness.measure import pure

from . import client_heartline

PEER = replace(
    client_heartline.PEER,
    name="heartline client, pure",
    about="the same from its source, as the pure wheel has it",
    command=pure("benchmarks.alone.client", "--client", "heartline"),
)
