"""Fuzz every reader, each in a process of its own, and print what came of it.

``python -m tests.fuzz [TARGET...] --runs 10000 --engine all``
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.tally import FOUND, keep

ENGINES = ("atheris", "hypothesis", "mutate")
TARGETS = (
    *("nifti1", "nifti2", "analyze", "mgh", "gzip", "config", "safetensors", "golden", "registry"),
    *("training-config", "ablation", "label-table", "contrast-table", "training-table"),
    *("cohort-table", "truth-table", "record"),
)
ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("target", "engine", "inputs", "distinct", "results", "refused", "crashes")
MORE_COLUMNS = ("slowest", "peak", "per s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if there was a crash, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=10_000, help="inputs per target and engine")
    parser.add_argument("--engine", choices=(*ENGINES, "auto", "all"), default="auto")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grow", action="store_true", help="keep what atheris adds to the corpus")
    parser.add_argument("--json", type=Path, help="write every report here too")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {sorted(unknown)[0]!r}: choose from {', '.join(TARGETS)}")
    reports = []
    _print_row((*COLUMNS, *MORE_COLUMNS))
    for engine in _engines(chosen.engine):
        for target in chosen.targets or TARGETS:
            reports.append(run(target, engine, chosen.runs, chosen.seed, grows=chosen.grow))
            _print_report(reports[-1])
    if chosen.json:
        chosen.json.write_text(json.dumps(reports, indent=1))
    return int(any(report["faults"] for report in reports))


def run(
    target: str, engine: str, runs: int, seed: int, *, found: Path = FOUND, grows: bool = False
) -> dict[str, Any]:
    """Run one target with one engine in a child; an input that ends the child is kept."""
    with tempfile.TemporaryDirectory(prefix="strokeseg-fuzz-") as scratch:
        command = [sys.executable, "-m", "tests.fuzz.worker", target, engine, str(runs), str(seed)]
        child = subprocess.run(
            [*command, scratch], cwd=ROOT, capture_output=True, text=True, check=False
        )
        file = Path(scratch) / "report.json"
        empty = {"tried": 0, "distinct": 0, "results": 0, "refusals": {}, "faults": {}}
        empty |= {"slowest_s": 0.0, "peak_bytes": 0, "seconds": 1.0}
        report = json.loads(file.read_text()) if file.is_file() else empty
        report |= {"target": target, "engine": engine}
        if grows and (Path(scratch) / "corpus").is_dir():
            from tests.fuzz.seeds import grow

            grow(target, Path(scratch) / "corpus")
        if report["tried"] < runs or child.returncode != 0:
            current = Path(scratch) / "current.bin"
            name = keep(target, current.read_bytes(), found).name if current.is_file() else ""
            says = f"the process ended with {child.returncode}: {child.stderr[-600:]}"
            report["faults"]["process"] = {"count": 1, "says": says, "input": name}
        return report


def _engines(chosen: str) -> tuple[str, ...]:
    there = importlib.util.find_spec("atheris") is not None
    if chosen == "all":
        return ENGINES if there else ENGINES[1:]
    if chosen == "auto":
        return ("atheris",) if there else ("mutate",)
    return (chosen,)


def _print_report(report: dict[str, Any]) -> None:
    crashes = sum(fault["count"] for fault in report["faults"].values())
    _print_row(
        (
            *(report["target"], report["engine"], str(report["tried"]), str(report["distinct"])),
            *(str(report["results"]), str(sum(report["refusals"].values())), str(crashes)),
            f"{report['slowest_s'] * 1000:.0f} ms",
            f"{report['peak_bytes'] / 1e6:.1f} MB",
            f"{report['tried'] / report['seconds']:.0f}",
        )
    )
    classes = ", ".join(f"{name} {count}" for name, count in report["refusals"].items())
    _say(f"    refused by {classes}")
    for place, fault in report["faults"].items():
        _say(f"    CRASH {fault['count']} x {place}: {fault['says']} [{fault.get('input')}]")


def _print_row(cells: Sequence[str]) -> None:
    widths = (16, 11, 8, 9, 8, 8, 8, 10, 10, 6)
    _say("".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
