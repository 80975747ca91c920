import re

import pytest

from strokeseg.cli.show.batch import BatchReporter
from strokeseg.cohort.batch.job import Outcome


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_lines_tell_of_each_case_and_sum_up_what_was_done_before(capsys):
    with BatchReporter(6) as reporter:
        reporter.on_stage("a", "read")
        reporter.on_outcome(Outcome("a", "skipped"))
        reporter.on_outcome(Outcome("b", "skipped"))
        reporter.on_outcome(Outcome("c", "done", "again: [x] was changed", 0, 2.34))
        reporter.on_outcome(Outcome("d", "failed", "cut [short]", 65))
        reporter.on_notice("a line [with brackets]")
        reporter.on_outcome(Outcome("e", "skipped"))
        reporter.on_outcome(Outcome("f", "skipped"))
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0] == "[2/6] 2 done before"
    assert re.fullmatch(
        r"\[3/6\] c: done in 2\.3 s \(again: \[x\] was changed\); .* s per case, .* left", lines[1]
    )
    assert lines[2:] == [
        "[4/6] d: failed: cut [short]",
        "a line [with brackets]",
        "[6/6] 2 done before",
    ]


def test_quiet_shows_nothing(capsys):
    with BatchReporter(2, quiet=True) as reporter:
        reporter.on_stage("a", "read")
        reporter.on_notice("a line")
        reporter.on_outcome(Outcome("a", "failed", "why", 65))
        reporter.on_outcome(Outcome("b", "skipped"))
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_running_cases_pace_and_failures_and_keeps_only_the_failures(capsys):
    with BatchReporter(14) as reporter:
        for index in range(10):
            reporter.on_stage(f"case{index}", "segment flair")
        reporter.on_outcome(Outcome("case0", "done", "", 0, 1.0))
        reporter.on_outcome(Outcome("case1", "failed", "cut short", 65))
        reporter.on_outcome(Outcome("before", "skipped"))
        reporter._live.refresh()
        shown = plain(capsys.readouterr().err)
        assert "3/14 cases, 1 done before" in shown
        assert re.search(r"s per case, \d+:\d\d:\d\d left", shown)
        assert "1 failed" in shown
        assert "case2: segment flair" in shown
        assert "[2/14] case1: failed: cut short" in shown
        assert "done in" not in shown
        reporter.on_stage("case10", "read")
        reporter._live.refresh()
        assert "and 1 more" in plain(capsys.readouterr().err)


@pytest.mark.usefixtures("terminal")
def test_cases_that_ended_are_no_longer_shown_as_running(capsys):
    with BatchReporter(1) as reporter:
        reporter.on_stage("a", "save")
        reporter.on_outcome(Outcome("a", "done", "", 0, 1.0))
        capsys.readouterr()
        reporter._live.refresh()
        shown = plain(capsys.readouterr().err)
        assert "a: save" not in shown
        assert "1/1 case 0 failed" in shown
