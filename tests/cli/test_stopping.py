"""A request to stop is heeded, also where compiled code swallows the exception that it becomes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from strokeseg.cli import run, stopping
from strokeseg.cli.show.batch import BatchReporter
from strokeseg.cli.show.lines import Reporter
from strokeseg.cohort.batch.job import Outcome
from strokeseg.errors import EngineError

SIGNALS = (signal.SIGINT, signal.SIGTERM)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def heeded():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stopping.heed_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    stopping._asked.clear()


def swallowed(number):
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_at_once(number):
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_was_swallowed_ends_a_case_at_its_next_step(number, quiet):
    with Reporter(quiet=quiet) as reporter:
        reporter.on_stage("read")
        reporter.on_window()
        swallowed(number)
        with pytest.raises(KeyboardInterrupt):
            reporter.on_window()
        with pytest.raises(KeyboardInterrupt):
            reporter.on_stage("save")


def test_a_signal_that_was_swallowed_ends_a_batch_after_the_case(capsys):
    with BatchReporter(2) as reporter:
        reporter.on_outcome(Outcome("a", "done", seconds=1.0))
        swallowed(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            reporter.on_outcome(Outcome("b", "done", seconds=1.0))
    assert "[2/2] b: done" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "code"), [(True, 130), (False, 70)])
def test_the_error_that_a_signal_became_is_told_as_an_interruption(
    monkeypatch, capsys, asked, code
):
    def fail(*_arguments, **_keywords):
        if asked:
            swallowed(signal.SIGTERM)
        raise EngineError("openvino is broken: initialization failed; pip install openvino")

    monkeypatch.setattr("strokeseg.models.diagnosis.diagnose", fail)
    assert run(["doctor"]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert ("interrupted" in told) == asked


def test_a_signal_that_the_starter_ignores_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping.heed_signals()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stopping.was_asked()


def test_an_interruption_while_the_command_is_imported_is_one_line_and_130():
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich.console': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from strokeseg.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "strokeseg: error: interrupted; nothing was left half-written\n"
