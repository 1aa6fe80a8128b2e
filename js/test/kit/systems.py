"""The examples' servers on one port, quick ones, for the tests of their clients."""

from pathlib import Path

import heartline
from examples.heart import server as heart
from examples.trades import server as trades

app = heartline.Server(path="/native")
app.mount(heart.build(Path("nowhere")))
app.mount(trades.build(Path("nowhere"), second=0.1))
