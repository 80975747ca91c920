"""How far a model's volumes are off, as an interval for its config, by one command.

``python -m strokeseg.training.volume_calibration weights/synth-open -o DIR --write`` predicts the
validation cases as a user does, on their own grids with eight flips, compares what could tell how
far the volume is off, and writes interval.json, the model's interval, and interval.md, the tables.
The figures of each case are kept in DIR: a run that was broken off goes on, a second one is quick.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.errors import DataError
from strokeseg.files.atomic import write_text
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import write_json
from strokeseg.files.tables import table
from strokeseg.measure.doubt import Doubt
from strokeseg.models.folder import CONFIG_FILE
from strokeseg.models.fusion import silence
from strokeseg.models.loading import LoadedModel
from strokeseg.models.volume_interval import FIELD, Figures
from strokeseg.prediction.pipeline import predict
from strokeseg.training.calibrated_model import (
    calibration_parser,
    check_given,
    open_calibrated,
    write_decision,
)
from strokeseg.training.command_line import run_command
from strokeseg.training.validation.volume_errors import VolumeCase, choose, tables
from strokeseg.training.validation.whole_scans import ScanCase, Sizes, validation_scans

COLUMNS = ("case", "group", "true_ml", "volume_ml", "volume_low_ml", "volume_high_ml")
DOUBT_COLUMNS = ("soft_ml", "entropy_ml", "wide_ml", "narrow_ml")
# No slices: the slabs that they are made to are no lesions' volumes.
SIZES = Sizes(single=56, several=12, slices=0, free_slices=0)


@dataclass(frozen=True)
class KeptCases:
    """The figures of cases in a table that grows by one at a time; cases are known by name."""

    path: Path

    def read(self) -> dict[str, VolumeCase]:
        """Read what is there.

        Raises
        ------
        DataError
            It is not such a table.
        """
        if not self.path.is_file():
            return {}
        try:
            with self.path.open(encoding="utf-8", newline="") as stream:
                return {row["case"]: _case(row) for row in csv.DictReader(stream, delimiter="\t")}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.path}: no table of cases ({error}); remove it") from error

    def write(self, cases: Iterable[VolumeCase]) -> None:
        """Write all of them."""
        rows = [
            (
                *(case.name, case.group),
                *(f"{value:.6g}" for value in (case.true_ml, case.figures.volume_ml)),
                *(f"{value:.6g}" for value in case.figures.flips_ml),
                *(f"{value:.6g}" for value in asdict(case.figures.doubt).values()),
            )
            for case in cases
        ]
        write_text(self.path, table((*COLUMNS, *DOUBT_COLUMNS), rows))


def _case(row: dict[str, str]) -> VolumeCase:
    doubt = Doubt(*(float(row[name]) for name in DOUBT_COLUMNS))
    volume, low, high = (float(row[name]) for name in COLUMNS[3:])
    figures = Figures(volume, (low, high), doubt)
    return VolumeCase(row["case"], row["group"], float(row["true_ml"]), figures)


def measured(
    cases: Iterable[ScanCase], loaded: LoadedModel, kept: KeptCases
) -> Iterator[VolumeCase]:
    """Predict cases as a user does, and measure their volumes; those that are kept are not anew."""
    found = kept.read()
    for case in cases:
        if case.name not in found:
            found[case.name] = _measured(case, loaded)
            kept.write(found.values())
        yield found[case.name]


def _measured(case: ScanCase, loaded: LoadedModel) -> VolumeCase:
    images = {name: (scan.data, scan.grid.affine) for name, scan in case.scans.items()}
    result = predict(images, model=loaded)
    threshold = loaded.model.config.threshold
    volume_ml = result.grid.voxel_volume_ml
    figures = Figures.of(
        result.volume_ml,
        result.volume_range_ml,
        result.probability,
        threshold,
        volume_ml,
        silence(tuple(images), loaded.model.config.fusion),
    )
    true = 0.0 if case.truth is None else float(np.count_nonzero(case.truth)) * volume_ml
    return VolumeCase(case.name, case.group, true, figures)


def _key(loaded: LoadedModel) -> str:
    """Name a model and how it decides, so that figures of another one are not taken for its own."""
    config = loaded.model.config
    said: list[Any] = [
        loaded.model.sha256,
        *(config.threshold, config.min_volume_ml, config.min_peak),
    ]
    said += [config.brain_mask, config.hull_margin_mm, config.fusion.as_record()]
    if config.lesion_offsets:
        said.append(dict(config.lesion_offsets))
    said += [config.field_of_view, config.window, "bits above silence"]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.volume_calibration`."""
    parser = calibration_parser("volume_calibration", __doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the drawn cases")
    chosen = parser.parse_args(arguments)
    check_given(chosen.model, chosen.data, write=chosen.write)
    chosen.output.mkdir(parents=True, exist_ok=True)
    opened = open_calibrated(
        chosen.model, chosen.config, chosen.output, chosen.engine, chosen.threads
    )
    counts = (SIZES.single, SIZES.several, SIZES.slices, SIZES.free_slices)
    sizes = Sizes(*(round(chosen.share * count) for count in counts))
    scans = validation_scans(opened.sources, opened.config, chosen.data, sizes)
    kept = KeptCases(chosen.output / f"volumes-{_key(opened.loaded)}.tsv")
    cases = tuple(measured(scans, opened.loaded, kept))
    trials = choose(cases)
    settings = {FIELD: asdict(trials[0].interval)}
    write_json(chosen.output / "interval.json", settings)
    write_text(chosen.output / "interval.md", tables(cases, trials))
    if chosen.write:
        folder = Path(chosen.model)
        write_decision(folder, settings)
        # A registry that names the folder holds its config's checksum.
        return f'{settings[FIELD]}\nconfig_sha256 = "{sha256(folder / CONFIG_FILE)}"'
    return f"{chosen.output / 'interval.json'}: {settings[FIELD]}"


if __name__ == "__main__":
    run_command(main)
