"""Every reader: its seeds, mutations of them, what hypothesis makes, and what once crashed it."""

import re
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import __main__ as fuzz
from tests.fuzz.seeds import corpus, seeds
from tests.fuzz.strategies import STRATEGIES
from tests.fuzz.tally import FOUND
from tests.fuzz.targets import TARGETS, mutated
from tests.fuzz.trial import attempt, measured

MUTATIONS = 100
EXAMPLES = 40


def test_every_target_has_a_name_on_the_command_line_seeds_and_a_strategy():
    assert set(fuzz.TARGETS) == set(TARGETS) == set(STRATEGIES)
    assert all(seeds(name) for name in TARGETS)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.bin")), ids=lambda path: path.stem)
def test_what_once_crashed_is_read_or_refused(path, tmp_path):
    target = TARGETS[path.stem.rpartition("-")[0]]
    with measured():
        trial = attempt(target, path.read_bytes(), tmp_path)
    assert trial.fault is None


@pytest.mark.parametrize("name", TARGETS)
def test_the_seed_corpus_and_its_mutations_are_read_or_refused(name, tmp_path):
    rng = Random(11)
    inputs = [*corpus(name), *(mutated(rng, TARGETS[name]) for _ in range(MUTATIONS))]
    with measured():
        found = [attempt(TARGETS[name], data, tmp_path) for data in inputs]
    assert [trial.fault for trial in found if trial.fault] == []
    outcomes = {trial.outcome for trial in found}
    assert "result" in outcomes, "the inputs must get through sometimes"
    assert len(outcomes) > 1, "and be refused sometimes"


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_hypothesis_makes_are_read_or_refused(name, tmp_path):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[name])
    def probe(data):
        trial = attempt(TARGETS[name], data, tmp_path)
        assert trial.fault is None, trial.fault

    with measured():
        probe()


def test_atheris_guides_by_coverage_where_it_is_installed():
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python or system")
    report = fuzz.run("registry", "atheris", 60, 1)
    assert report["faults"] == {}
    assert report["tried"] == 60


def test_the_script_prints_what_it_tried_and_fails_if_something_crashed(capsys, monkeypatch):
    assert fuzz.main(["registry", "--runs", "20", "--engine", "mutate"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"registry +mutate +\d+ +\d+", printed)
    assert "refused by ModelFormatError" in printed
    crash = {"count": 1, "says": "ValueError: x", "input": "registry-0.bin"}
    report = {"target": "registry", "engine": "mutate", "tried": 1, "distinct": 1, "results": 0}
    report |= {"refusals": {}, "faults": {"here": crash}, "slowest_s": 0, "peak_bytes": 0}
    monkeypatch.setattr(fuzz, "run", lambda *_, **__: report | {"seconds": 1})
    assert fuzz.main(["registry"]) == 1
    assert "CRASH 1 x here: ValueError: x [registry-0.bin]" in capsys.readouterr().out
