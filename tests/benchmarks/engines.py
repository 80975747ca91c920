"""How far the engines agree on the real scans: masks, volumes, logits and probabilities.

Run it by hand: ``python -m tests.benchmarks.engines [MODEL]``. Every engine and device that is
installed predicts every scan alone and the acute ensemble, with the model's defaults (8 flips);
every two are compared. Logits are those of the scan's working grid, averaged over the flips, of an
ensemble the worst of its scans. The tables go to stdout as Markdown.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from strokeseg import Hardware, Options, Result, load_model, predict
from strokeseg.arrays import FloatArray
from strokeseg.engines.base import Engine, ScanLogits
from strokeseg.engines.choice import available_engines
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import WindowPlan
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.models.loading import LoadedModel
from tests.factories import SCANS

CASES = {
    "acute, DWI": {"dwi": "acute_dwi"},
    "acute, ADC": {"adc": "acute_adc"},
    "acute, FLAIR": {"flair": "acute_FLAIR"},
    "acute, DWI + ADC + FLAIR": {"dwi": "acute_dwi", "adc": "acute_adc", "flair": "acute_FLAIR"},
    "chronic, T2w": {"t2": "chronic_T2w"},
    "healthy, T1w": {"t1": "colin_T1w"},
    "healthy, FLAIR": {"flair": "healthy_FLAIR"},
}
COLUMNS = ("Dice of the masks", "volume, ml", "difference, ml", "logits", "probability")


class Remembering:
    """An engine that keeps the logits of every scan that went through it, and runs it once.

    A scan is remembered by its prepared voxels, so that an ensemble takes no time of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name, self.device = engine.name, engine.device
        self.precision, self.classes = engine.precision, engine.classes
        self.scans: dict[str, ScanLogits] = {}
        self.asked: list[FloatArray] = []

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run one window."""
        return self.engine.logits(patch, out)

    def scan(
        self,
        image: FloatArray,
        plan: WindowPlan,
        flips: tuple[tuple[int, ...], ...],
        on_window: Callable[[], None],
    ) -> ScanLogits:
        """Run a scan, or give what it gave before."""
        key = hashlib.sha256(image.tobytes()).hexdigest()
        if key not in self.scans:
            self.scans[key] = scan_logits(self.engine, image, plan, flips, on_window)
        self.asked.append(self.scans[key].mean)
        return self.scans[key]


@dataclass(frozen=True)
class Answer:
    """What one engine makes of one case."""

    result: Result
    logits: list[FloatArray]


@dataclass(frozen=True)
class Difference:
    """How far two answers are apart. `logits` is relative to the largest logit of the first."""

    dice: float
    volumes_ml: tuple[float, float]
    logits: float
    probability: float

    @property
    def ml(self) -> float:
        """The difference of the volumes."""
        return abs(self.volumes_ml[0] - self.volumes_ml[1])


def answers(model: str | None, engine: str, device: str) -> dict[str, Answer]:
    """Predict every case with one engine."""
    loaded = load_model(model, Hardware(engine, device), offline=True)
    remembering = Remembering(loaded.engine)
    kept = LoadedModel(loaded.model, remembering, loaded.threads)
    found = {}
    for title, names in CASES.items():
        remembering.asked = []
        images = {key: SCANS / f"sub-{name}.nii.gz" for key, name in names.items()}
        options = Options(reference="dwi" if "dwi" in images else None)
        result = predict(images, model=kept, options=options)
        found[title] = Answer(result, remembering.asked)
        sys.stderr.write(f"{engine} on {device}: {title}: {result.volume_ml:.3f} ml\n")
    return found


def compare(one: Answer, two: Answer) -> Difference:
    """Compare two engines' answers to one case."""
    pairs = list(zip(one.logits, two.logits, strict=True))
    return Difference(
        dice=dice(one.result.mask, two.result.mask),
        volumes_ml=(one.result.volume_ml, two.result.volume_ml),
        logits=max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs),
        probability=float(np.abs(one.result.probability - two.result.probability).max()),
    )


def main() -> None:
    """Predict, compare, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="a name or a folder; else the default model")
    model = parser.parse_args().model
    places = [(info.name, device) for info in available_engines() for device in info.devices]
    found = {place: answers(model, *place) for place in places}
    worst = []
    _row("scan", "engines", *COLUMNS)
    _row(*["---"] * (2 + len(COLUMNS)))
    for first, second in combinations(places, 2):
        both = f"{' '.join(first)}, {' '.join(second)}"
        apart = {case: compare(found[first][case], found[second][case]) for case in CASES}
        for case, difference in apart.items():
            _row(case, both, *_cells(difference))
        worst.append((both, tuple(apart.values())))
    sys.stdout.write("\nThe worst of the scans:\n\n")
    _row("engines", *COLUMNS)
    _row(*["---"] * (1 + len(COLUMNS)))
    for both, differences in worst:
        _row(both, *_worst_cells(differences))
    if not any(device.startswith("cuda") for _, device in places):
        _row("torch cuda", *["not measured: no CUDA device here"] * len(COLUMNS))


def _cells(found: Difference) -> tuple[str, ...]:
    volumes = f"{found.volumes_ml[0]:.3f}, {found.volumes_ml[1]:.3f}"
    return (
        *(f"{found.dice:.6f}", volumes, f"{found.ml:.4f}"),
        *(f"{found.logits:.1e}", f"{found.probability:.1e}"),
    )


def _worst_cells(found: Iterable[Difference]) -> tuple[str, ...]:
    differences = list(found)
    most = max(differences, key=lambda difference: difference.ml)
    return (
        *(f"{min(d.dice for d in differences):.6f}", "", f"{most.ml:.4f}"),
        *(f"{max(d.logits for d in differences):.1e}",),
        *(f"{max(d.probability for d in differences):.1e}",),
    )


def _row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
