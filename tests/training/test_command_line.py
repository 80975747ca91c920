"""`python -m strokeseg.training.NAME` ends as `strokeseg` does: one line and an exit code."""

import importlib
import json

import pytest

from strokeseg.errors import DataError
from strokeseg.training.command_line import exit_code_of

COMMANDS = ("ablation", "calibration", "export", "made_heads", "parts", "scan_calibration")
COMMANDS = (*COMMANDS, "held_out", "scan_table", "sequence_calibration")


def of(name):
    return importlib.import_module(f"strokeseg.training.{name}").main


def failing(error):
    def main(_arguments):
        raise error

    return main


def test_a_result_goes_to_stdout(capsys):
    assert exit_code_of(lambda arguments: " ".join(arguments), ["a", "--debug", "b"]) == 0
    assert capsys.readouterr() == ("a b\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_says_what_it_is_for(name, capsys):
    with pytest.raises(SystemExit) as left:
        of(name)(["--help"])
    assert left.value.code == 0
    purpose = importlib.import_module(f"strokeseg.training.{name}").__doc__.splitlines()[0]
    told = capsys.readouterr().out
    assert purpose.replace("`", "") in told.splitlines()
    assert f"usage: python -m strokeseg.training.{name} [-h]" in told


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DataError("x.pt: damaged"), 65, "x.pt: damaged"),
        (FileNotFoundError(2, "No such file", "x.json"), 66, "x.json: No such file"),
        (FileExistsError(17, "File exists", "out"), 73, "out: File exists"),
        (PermissionError(13, "Permission denied", "out"), 74, "out: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (KeyError("a"), 1, "a fault of ours: KeyError: 'a'; please report it"),
    ],
)
def test_an_error_is_one_line_and_a_code_and_a_traceback_with_debug_alone(
    error, code, told, capsys
):
    assert exit_code_of(failing(error), []) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"strokeseg: error: {told}")
    assert err.count("\n") == 1
    assert exit_code_of(failing(error), ["--debug"]) == code
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("ablation", ["none.toml", "-o", "out"], 66),
        ("calibration", ["none.pt", "-o", "out"], 66),
        ("export", ["none.pt", "-o", "out"], 66),
        ("scan_calibration", ["synth-open", "-o", "out", "--data", ".", "--write"], 2),
        ("sequence_calibration", ["synth-open", "-o", "out", "--data", ".", "--write"], 2),
        ("export", ["none.pt", "-o", "out", "--decision", "none.json"], 66),
        ("export", ["none.pt", "-o", "out", "--sections", "broken"], 2),
        ("export", ["none.pt", "-o", "out", "--decision", "broken"], 65),
        ("export", ["none.pt", "-o", "out", "--scaling", "none.json"], 65),
        ("held_out", ["none", "--config", "smoke", "-o", "out"], 69),
        ("held_out", ["none", "--config", "smoke", "--worst", "0", "-o", "out"], 2),
        ("parts", ["export", "none.pt", "out"], 66),
        ("parts", ["join", "none", "out.pt"], 66),
        ("scan_calibration", ["none", "-o", "out", "--data", "none"], 66),
        ("scan_calibration", ["none", "-o", "out", "--data", "."], 69),
        ("sequence_calibration", ["none", "-o", "out", "--data", "none"], 66),
        ("scan_table", ["none", "-o", "out"], 65),
    ],
)
def test_what_cannot_be_done_leaves_nothing(name, arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").write_text(json.dumps([1])[:-1] + "{")
    assert exit_code_of(of(name), arguments) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert "fault of ours" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_of_every_option(name, capsys):
    with pytest.raises(SystemExit) as ended:
        of(name)(["--help"])
    assert ended.value.code == 0
    assert f"python -m strokeseg.training.{name}" in " ".join(capsys.readouterr().out.split())
