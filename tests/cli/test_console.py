"""What others named reaches a terminal as text: it moves no cursor and writes no clipboard."""

import re

import pytest

from strokeseg.cli import run
from strokeseg.cli.show.batch import BatchReporter
from strokeseg.cli.show.lines import Reporter, say, say_error, say_warning, show_facts, show_table
from strokeseg.cli.show.models import text_of

STEERS = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x9b31md\u202ee\r"


def harmless(text):
    return all(c.isprintable() or c == "\n" for c in text) and "a\\x1b]52;c" in text


@pytest.mark.parametrize("tell", [say, say_warning, say_error])
def test_a_line_steers_no_terminal(capsys, tell):
    tell(STEERS)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert harmless(shown.err)
    assert len(shown.err.splitlines()) == 1


def test_facts_and_tables_steer_no_terminal_and_keep_their_lines(capsys):
    show_facts({"name": STEERS})
    assert harmless(capsys.readouterr().out)
    show_table(("one",), [[f"first\n{STEERS}"]], title="a title")
    shown = capsys.readouterr().out
    assert harmless(shown)
    assert any("first" in line and "x1b" not in line for line in shown.splitlines())


def test_a_notice_of_a_batch_steers_no_terminal(capsys):
    with BatchReporter(1) as reporter:
        reporter.on_notice(STEERS)
    assert harmless(capsys.readouterr().err)


def test_what_a_models_config_says_steers_no_terminal():
    assert harmless(text_of(STEERS))
    assert harmless(text_of({"key": STEERS}))
    assert text_of(["a", "b"]) == "a, b"


@pytest.fixture
def terminal(monkeypatch):
    """Let what is written go to a terminal of 40 columns, of whose kind nobody is told."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("terminal")
def test_long_facts_go_on_below_on_a_terminal_and_names_stay_whole(capsys):
    names = [f"sub-{n}_label-L_mask.nii.gz" for n in range(3)]
    show_facts({"written": ", ".join(names), "in": "/a/" + "long-" * 20})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"written  {names[0]},"
    assert lines[1:3] == [f"         {names[1]},", f"         {names[2]}"]
    assert lines[-1].endswith("/a/" + "long-" * 20)


@pytest.mark.usefixtures("terminal")
def test_summaries_of_models_go_on_below_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (first,) = [number for number, line in enumerate(lines) if line.startswith("* ")]
    begins = lines[first].index("Bundled")
    assert lines[first + 1][: begins + 1].strip() == lines[first + 1][begins]


def test_facts_are_one_line_each_where_there_is_no_terminal(capsys):
    show_facts({"written": ", ".join(["name"] * 100), "in": "here"})
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("terminal")
def test_a_stage_of_unknown_length_shows_no_count_and_no_time_left(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with Reporter() as reporter:
        reporter.on_stage("read")
        reporter._bar.refresh()
        known = capsys.readouterr().err
        reporter.on_stage("segment", 8)
        reporter.on_window()
        reporter._bar.refresh()
    assert "read" in known
    assert "left" not in known
    assert "/?" not in known
    shown = capsys.readouterr().err
    assert "1/8" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "left" in shown
