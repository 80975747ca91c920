"""The official BIDS validator, run on a folder; it brings its schema and needs no network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


def validate(folder: Path) -> set[tuple[str, str, str]]:
    """Severity, code and place of everything that the validator says of a dataset."""
    if PROGRAM is None:
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")
    shown = subprocess.run(
        [PROGRAM, folder, "--format", "json"], capture_output=True, text=True, timeout=300
    )
    assert shown.stdout, shown.stderr
    report = json.loads(shown.stdout)
    assert report["summary"]["totalFiles"] > 0
    issues = report["issues"]["issues"]
    found = {(i["severity"], i["code"], i.get("location", "")) for i in issues}
    assert bool(shown.returncode) == any(severity == "error" for severity, _, _ in found)
    return found
