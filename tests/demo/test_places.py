"""Finding the examples and the built client, and what is said where they are not."""

import sys
from pathlib import Path

import pytest

from heartline.demo import DemoError
from heartline.demo.places import CLIENT, SYSTEMS, Places, find_places

ROOT = Path(__file__).resolve().parents[2]


def test_the_checkout_is_found() -> None:
    places = find_places()
    assert places == Places(ROOT / "examples", "examples", ROOT / "js" / "dist" / "esm")
    for name in SYSTEMS:
        assert callable(places.system(name))
        assert (places.examples / name / "page" / "index.html").is_file()


def test_the_wheel_is_found(tmp_path: Path) -> None:
    package = tmp_path / "heartline"
    (package / "examples" / "gallery").mkdir(parents=True)
    (package / "examples" / "client").mkdir()
    for name in CLIENT:
        (package / "examples" / "client" / name).touch()
    places = find_places(package)
    assert (places.module, places.client) == ("heartline.examples", package / "examples" / "client")


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "heartline"
    package.mkdir(parents=True)
    with pytest.raises(DemoError, match="install the wheel, or run it in a checkout"):
        find_places(package)

    (tmp_path / "examples" / "gallery").mkdir(parents=True)
    with pytest.raises(DemoError, match="npm ci && npm run build in js/"):
        find_places(package)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])

    with pytest.raises(DemoError, match="'nothing' is missing"):
        find_places().system("nothing")

    for name in [name for name in sys.modules if name.startswith("examples.community")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(DemoError, match=r"sqlalchemy.* is missing: pip install 'heartline\[demo\]'"):
        find_places().system("community")
