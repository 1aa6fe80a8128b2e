"""Close codes against the data file that every language reads."""

import json
from itertools import pairwise
from pathlib import Path

from heartline.core.codes import Code, CodeClass, classify

FILE = json.loads((Path(__file__).resolve().parents[2] / "protocol" / "close_codes.json").read_text())


def test_codes_equal_the_data_file() -> None:
    ours = {code.value: (code.name.lower(), classify(code).value) for code in Code}
    assert ours == {entry["code"]: (entry["name"], entry["class"]) for entry in FILE["codes"]}
    assert {c.value for c in CodeClass} == set(FILE["classes"])


def test_every_code_has_a_class() -> None:
    named = {entry["code"]: entry["class"] for entry in FILE["codes"]}
    edges = [(r["from"], r["to"]) for r in FILE["ranges"]]
    assert edges[0][0] == 0
    assert edges[-1][1] == 4999
    assert all(before[1] + 1 == after[0] for before, after in pairwise(edges))
    for entry in FILE["ranges"]:
        for code in range(entry["from"], entry["to"] + 1):
            assert classify(code).value == named.get(code, entry["class"]), code
