"""What others named reaches a terminal as text: it moves no cursor and writes no clipboard."""

import pytest

from strokeseg.cli.show.batch import BatchReporter
from strokeseg.cli.show.lines import say, say_error, say_warning, show_facts, show_table
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
