"""Client machines and server nodes over a seeded faulty network in virtual time, with every invariant checked.

simulate(seed)                  one schedule, a Report
run_many(range(2000), jobs=2)   many
main_json(range(2000), jobs=2)  many, as a summary and an exit status
"""

from .broken import BROKEN, BrokenCore
from .plan import SCENARIOS, Plan, draw
from .report import Broken, Report
from .run import main_json, run_many, seeds_to_catch, simulate

__all__ = [
    "BROKEN",
    "SCENARIOS",
    "Broken",
    "BrokenCore",
    "Plan",
    "Report",
    "draw",
    "main_json",
    "run_many",
    "seeds_to_catch",
    "simulate",
]
