"""What a run of trials has found, and the inputs that crashed."""

import hashlib
import json
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.trial import RESULT, Trial

HERE = Path(__file__).parent
FOUND = HERE / "found"
FAULTS_KEPT_OF_A_PLACE = 1


class Tally:
    """Counts the trials of one target and one engine, and saves inputs that crashed.

    Parameters
    ----------
    target, engine
        What is run, and what makes its inputs.
    found
        Where crashing inputs go: the first of each place in the code.
    """

    def __init__(self, target: str, engine: str, found: Path = FOUND) -> None:
        self.target, self.engine, self.found = target, engine, found
        self.outcomes: Counter[str] = Counter()
        self.faults: dict[str, dict[str, str | int]] = {}
        self.distinct: set[bytes] = set()
        self.slowest_s, self.peak_bytes = 0.0, 0
        self.started = time.perf_counter()

    @property
    def tried(self) -> int:
        """How many inputs there were."""
        return self.outcomes.total()

    def add(self, data: bytes, trial: Trial) -> None:
        """Count a trial."""
        self.outcomes[trial.outcome] += 1
        self.distinct.add(hashlib.blake2b(data, digest_size=12).digest())
        self.slowest_s = max(self.slowest_s, trial.seconds)
        self.peak_bytes = max(self.peak_bytes, trial.peak_bytes)
        if trial.fault is None:
            return
        fault = self.faults.setdefault(trial.place, {"count": 0, "says": trial.fault[:300]})
        fault["count"] = int(fault["count"]) + 1
        if fault["count"] <= FAULTS_KEPT_OF_A_PLACE:
            fault["input"] = keep(self.target, data, self.found).name

    def write(self, path: Path) -> None:
        """Write what was counted as JSON."""
        seconds = time.perf_counter() - self.started
        refusals = {name: n for name, n in self.outcomes.most_common() if name != RESULT}
        content = {
            "target": self.target,
            "engine": self.engine,
            "tried": self.tried,
            "distinct": len(self.distinct),
            "results": self.outcomes[RESULT],
            "refusals": refusals,
            "faults": self.faults,
            "slowest_s": self.slowest_s,
            "peak_bytes": self.peak_bytes,
            "seconds": seconds,
        }
        path.write_text(json.dumps(content))


def keep(target: str, data: bytes, folder: Path) -> Path:
    """Save an input that crashed under its target's and its content's name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
    path.write_bytes(data)
    return path
