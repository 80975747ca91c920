"""Kill batches again and again, and print what came of it: ``python -m tests.faults --times 200``.

Three kills in four are of a batch in one process, the fourth of one in two. Exit code 1 if anything
was lost, damaged, done twice or left behind.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.kills import Campaign, Tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns; 1 if there was a breach, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args(arguments)
    in_two = chosen.times // 4
    tallies = {}
    for jobs, times in ((1, chosen.times - in_two), (2, in_two)):
        if times:
            with tempfile.TemporaryDirectory(prefix="strokeseg-kills-") as scratch:
                tallies[jobs] = Campaign(Path(scratch), chosen.seed + jobs, jobs).go(times)
    sys.stdout.write(table(tallies))
    if chosen.json:
        chosen.json.write_text(json.dumps({j: asdict(t) for j, t in tallies.items()}, indent=1))
    return int(any(tally.breaches for tally in tallies.values()))


def table(tallies: dict[int, Tally]) -> str:
    """Give the figures as a Markdown table, and what happened where something did."""
    names = [name for name in asdict(Tally()) if name != "notes"]
    lines = ["| jobs | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for jobs, tally in tallies.items():
        figures = " | ".join(str(getattr(tally, name)) for name in names)
        lines.append(f"| {jobs} | {figures} |")
    return "\n".join([*lines, *(note for t in tallies.values() for note in t.notes)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
