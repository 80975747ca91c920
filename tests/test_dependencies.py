"""The oldest dependencies that are tested are the oldest that are allowed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("hypothesis", "onnxruntime", "pytest", "pytest-timeout")
OF_USERS = ("gpu", "torch", "cluster", "dicom", "itk")


def lower_bounds(requirements):
    found = (re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", each) for each in requirements)
    return {match[1]: match[2] for match in found if match}


def padded(version):
    return (*map(int, version.split(".")), 0, 0)[:3]


def test_the_oldest_constraints_are_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    users = [*project["dependencies"], *(each for name in OF_USERS for each in extras[name])]
    allowed = lower_bounds(users)
    assert len(allowed) == len(users), "every one has a lower bound"
    tools = lower_bounds(extras["test"])
    allowed |= {name: tools[name] for name in TOOLS}
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: padded(version) for name, version in pinned.items()} == {
        name: padded(version) for name, version in allowed.items()
    }
