"""Finding what there is: every module of `benchmarks.peers` and `benchmarks.benches`."""

import importlib
import pkgutil

from benchmarks import benches as benches_package
from benchmarks import peers as peers_package

from .model import Bench, Peer


def peers() -> dict[str, Peer]:
    """All peers by name."""
    names = [m.name for m in pkgutil.iter_modules(peers_package.__path__, "benchmarks.peers.")]
    found: list[Peer] = [importlib.import_module(name).PEER for name in names]
    return {peer.name: peer for peer in found}


def benches() -> dict[str, Bench]:
    """All benchmarks by name, in the order of their files."""
    names = [m.name for m in pkgutil.iter_modules(benches_package.__path__, "benchmarks.benches.")]
    found: list[Bench] = [importlib.import_module(name).BENCH for name in sorted(names)]
    return {bench.name: bench for bench in found}
