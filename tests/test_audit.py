"""What CI makes of pip-audit's word: a finding fails, a service out of reach is said and passes."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / ".ci" / "audit.py"
FOUND = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}
CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "1.5", "vulns": [FOUND]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(audit, monkeypatch, capsys, **answers):
    """Give the exit code and the lines for what each service answers."""
    monkeypatch.setattr(audit, "ask", lambda service: answers.get(service, ([], "no route")))
    return audit.main(), capsys.readouterr().out


def test_a_known_vulnerability_fails(audit, monkeypatch, capsys):
    code, said = run(audit, monkeypatch, capsys, pypi=([CLEAN, BAD, SKIPPED], ""))
    assert code == 1
    assert "2 of 3 packages checked by pypi" in said
    assert "FOUND: b 1.5: PYSEC-1, fixed in 2.0" in said
    assert "not checked: c (Dependency not found" in said


def test_one_that_is_accepted_passes_with_its_reason(audit, monkeypatch, capsys):
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "we call none of it", "CVE-0": "old"})
    code, said = run(audit, monkeypatch, capsys, pypi=([BAD], ""))
    assert code == 0
    assert "accepted: b 1.5: PYSEC-1, fixed in 2.0: we call none of it" in said
    assert "no longer found, take it off the list: CVE-0" in said


def test_the_second_service_is_asked_where_the_first_knows_nothing(audit, monkeypatch, capsys):
    code, said = run(audit, monkeypatch, capsys, pypi=([SKIPPED], ""), osv=([BAD], ""))
    assert code == 1
    assert "checked by osv" in said


def test_services_out_of_reach_are_said_and_pass(audit, monkeypatch, capsys):
    code, said = run(audit, monkeypatch, capsys, pypi=([SKIPPED], ""))
    assert code == 0
    told = "not checked: advisory service unreachable (pypi: knows none of the packages; osv: "
    assert said == f"pip-audit: {told}no route)\n"


def test_every_accepted_advisory_says_why(audit):
    assert all(len(reason) > 20 for reason in audit.ACCEPTED.values())
