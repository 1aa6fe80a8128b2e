"""The command itself: helps, errors, start-up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heartline import __version__
from heartline.cli import COMMANDS, main
from heartline.cli.values import above_0, address, beat, count, maybe_ever, number, rate, seconds, size
from heartline.faults.rules import FaultRules, rule_fields
from heartline.variant import is_compiled

from .processes import run

VERSION = f"heartline {__version__}{' (compiled)' if is_compiled() else ''}\n"
HEAVY = {"picows", "msgspec", "uvloop", "heartline.core.client", "heartline.transports", "multiprocessing"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: heartline {command}" in text
    assert f"heartline {command} " in text.split("examples")[1]
    assert "exit status:" in text


@pytest.mark.parametrize("words", [["--help"], ["help"], ["-h"]])
def test_the_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}" in text for name in COMMANDS)


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["help", "listen"])
    assert "usage: heartline listen" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == VERSION


def test_an_unknown_command_gets_help_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lisen"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("heartline: unknown command 'lisen', did you mean 'listen'?")
    assert "usage: heartline" in text
    assert main([]) == 2


NOBODY = "ws://127.0.0.1:9/"  # nothing here ever dials
WRONG = [
    (["send"], "required"),
    (["send", "http://x/", "--channel", "c"], "ws://"),
    (["send", "ws://user:hunter2@x/", "--channel", "c"], "--login-file"),
    (["send", NOBODY, "--channel", "@c"], "channel's name"),
    (["send", NOBODY, "--channel", "c", "--event", ""], "--event"),
    (["send", NOBODY, "--channel", "c", "--rate", "0"], "--rate"),
    (["send", NOBODY, "--channel", "c", "--login-file", "/nowhere"], "--login-file"),
    (["send", NOBODY, "--channel", "c", "--connect-timeout", "0"], "--connect-timeout"),
    (["listen", NOBODY, "c", "--since", "yesterday"], "--since"),
    (["listen", NOBODY, "c", "--since", ":4"], "--since"),
    (["listen", NOBODY, "c", "--count", "0"], "--count"),
    (["listen", NOBODY, "c", "--json", "--print-offsets"], "not allowed with"),
    (["listen", NOBODY, "c", "--ca", "/nowhere"], "--ca"),
    (["faults", "--to", "8000"], "HOST:PORT"),
    (["faults", "--to", ":8000", "--cut-every", "0"], "--cut-every"),
    (["faults", "--to", ":8000", "--refuse-chance", "2"], "--refuse-chance"),
    (["prove", "--input", "/nowhere"], "/nowhere"),
    (["prove", "--input", "/dev/null"], "not one line"),
    (["simulate"], "--seeds"),
    (["simulate", "--seeds", "0"], "--seeds"),
    (["simulate", "--seeds", "2", "--scenario", "sunny"], "--scenario"),
    (["serve", "--host", "0.0.0.0"], "--open"),
    (["serve", "--port", "70000"], "--port"),
    (["serve", "--tls-key", "key.pem"], "--tls-cert"),
    (["serve", "--tls-cert", "/nowhere"], "/nowhere"),
    (["serve", "--heartbeat", "5"], "--heartbeat"),
    (["serve", "--nonsense"], "--nonsense"),
]


@pytest.mark.parametrize(("words", "part"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_errors_are_one_line(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"heartline {words[0]}: ")
    assert err.count("\n") == 1
    assert part in err
    assert "hunter2" not in err


def test_start_up_is_quick() -> None:
    """What a help loads: its own command, and nothing that takes long."""
    for words in (["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)):
        program = (
            "import sys, json\nfrom heartline.cli import main\n"
            f"try: main({words!r})\nexcept SystemExit: pass\n"
            "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
        loaded = set(json.loads(done.stderr))
        assert not loaded & HEAVY, words
        others = {f"heartline.cli.{name}" for name in COMMANDS if name != words[0]}
        assert not loaded & others, words


def test_python_m_is_the_same(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, VERSION)


def test_every_rule_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["faults", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, (help_text, _) in rule_fields().items():
        assert f"--{name.replace('_', '-')}" in text
        assert help_text in text


def test_rules_survive_the_way_to_another_process() -> None:
    import argparse

    from heartline.cli.rule_options import add_rules, arguments_of, rules_of
    from heartline.faults.rules import Direction

    for rules in (
        FaultRules(),
        FaultRules(cut_every=0.5, cut_loses_data=False, freeze_every=2.0, freeze_for=float("inf"), latency=0.0123),
        FaultRules(freeze_direction=Direction.DOWN, freeze_kills=True, bandwidth=1e6, hang_chance=0.25, spread=0.0),
    ):
        parser = argparse.ArgumentParser()
        add_rules(parser)
        assert rules_of(parser.parse_args(arguments_of(rules))) == rules


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (seconds, "2", 2.0),
        (seconds, ".5", 0.5),
        (seconds, "500ms", 0.5),
        (seconds, "1.5 m", 90.0),
        (seconds, "1h", 3600.0),
        (above_0, "1ms", 0.001),
        (maybe_ever, "inf", float("inf")),
        (maybe_ever, "3", 3.0),
        (size, "64k", 65536),
        (size, "256M", 256 << 20),
        (size, "1GiB", 1 << 30),
        (count(), "1_000,000", 1_000_000),
        (number, "0", 0.0),
        (rate, "0.5", 0.5),
        (address, "127.0.0.1:80", ("127.0.0.1", 80)),
        (address, ":80", ("127.0.0.1", 80)),
        (address, "[::1]:80", ("::1", 80)),
        (beat, "25,500ms", (25.0, 0.5)),
    ],
)
def test_values(parse: object, text: str, value: object) -> None:
    assert parse(text) == value  # type: ignore[operator]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (seconds, "-1"),
        (seconds, "soon"),
        (seconds, "nan"),
        (seconds, "inf"),
        (above_0, "0"),
        (maybe_ever, "never"),
        (size, "0"),
        (size, "big"),
        (count(1), "0"),
        (count(), "1.5"),
        (number, "nan"),
        (number, "inf"),
        (rate, "0"),
        (address, "8000"),
        (address, "::1:80"),
        (address, "host:port"),
        (address, "host:99999"),
        (beat, "25"),
        (beat, "0,1"),
        (beat, "1,inf"),
        (beat, "1,25h"),
    ],
)
def test_values_say_what_was_expected(parse: object, text: str) -> None:
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        parse(text)  # type: ignore[operator]
