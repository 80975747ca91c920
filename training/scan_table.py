"""A table of real scans without stroke, for `data.scans`.

``python -m strokeseg.training.scan_table FOLDER... -o DIR`` writes `DIR/scans.tsv`.
Scans are known by the last word of their names (`_T1w`, `_FLAIR`, `_T2w`, `_dwi`, `_adc`). Beside a
scan may lie `NAME_muse.nii.gz` or `NAME_labels.nii.gz` (regions by MUSE's or FreeSurfer's numbers)
and `NAME_wmh.nii.gz` (hyperintensities), NAME being the scan's without that last word. A scan
without labels, or whose labels do not lie on it, is given the tissue map of a model of ours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from strokeseg.errors import DataError
from strokeseg.images.reading import read_scan
from strokeseg.models.loading import LoadedModel, load_model
from strokeseg.prediction.options import Options
from strokeseg.prediction.pipeline import predict
from strokeseg.space.resample import resample_labels
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.inputs import stem
from strokeseg.training.data.label_table import read_table
from strokeseg.training.data.real_scans import TISSUE_MAP, ScanRow, write_scan_table

SEQUENCES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "dwi": "DWI", "adc": "ADC", "pd": "PD"}
LABELS = {"_muse": "muse", "_labels": "freesurfer"}
# Share of a scan's variance within the brain that its regions explain. Of 38 scans of old people
# the labels of four lay off by up to centimetres and explained 0.03 to 0.12, others 0.36 to 0.80.
LEAST_EXPLAINED = 0.2


def scan_table(folders: Sequence[Path], output: Path, *, model: str | None = None) -> Path:
    """Write `scans.tsv` and the tissue maps that it names.

    Parameters
    ----------
    folders
        Where the scans lie.
    output
        A folder for the table and the tissue maps; maps that are there already are kept.
    model
        Draws the tissue maps; the bundled one if None.

    Raises
    ------
    DataError
        No scan is there.
    """
    scans = [path for folder in folders for path in sorted(folder.glob("*.nii*"))]
    loaded: LoadedModel | None = None
    rows = []
    for path in scans:
        name, _, word = stem(path).rpartition("_")
        sequence = SEQUENCES.get(word.lower())
        if sequence is None:
            continue
        labels, kind = _labels_beside(path, name)
        bright = path.with_name(f"{name}_wmh.nii.gz")
        if labels is None or explained(path, labels, kind) < LEAST_EXPLAINED:
            loaded = loaded or load_model(model)
            labels, kind, bright = _tissue_map(path, sequence, output, loaded), TISSUE_MAP, Path()
        hyperintensities = bright if bright.is_file() and _same_place(scans, bright) else None
        rows.append(ScanRow(path.resolve(), sequence, labels, kind, hyperintensities))
    if not rows:
        raise DataError(f"{folders[0]}: no scan whose name ends in {', '.join(SEQUENCES)}")
    output.mkdir(parents=True, exist_ok=True)
    table = output / "scans.tsv"
    write_scan_table(table, tuple(rows))
    return table


def explained(scan: Path, labels: Path, kind: str) -> float:
    """Give the share of a scan's variance within the brain that its labels' classes explain."""
    volume, regions = read_scan(scan), read_scan(labels)
    table = read_table(kind)
    lookup = np.zeros(max(table.class_of_label) + 1, np.uint8)
    for label, number in table.class_of_label.items():
        lookup[label] = number
    classes = lookup[np.clip(regions.data.astype(np.int64), 0, lookup.size - 1)]
    placed = resample_labels(classes, regions.grid, volume.grid)
    inside = placed > 0
    values, groups = volume.data[inside].astype(np.float64), placed[inside]
    if values.size == 0 or values.var() == 0:
        return 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, values) / np.maximum(counts, 1)
    between = float((counts * (means - values.mean()) ** 2).sum()) / values.size
    return between / float(values.var())


def _labels_beside(path: Path, name: str) -> tuple[Path | None, str]:
    for word, kind in LABELS.items():
        labels = path.with_name(f"{name}{word}.nii.gz")
        if labels.is_file():
            return labels.resolve(), kind
    return None, TISSUE_MAP


def _same_place(scans: Sequence[Path], bright: Path) -> bool:
    """Tell whether a mask of hyperintensities is for scans that lie on each other."""
    name = stem(bright).removesuffix("_wmh")
    beside = [p for p in scans if stem(p).rpartition("_")[0] == name and stem(p) != stem(bright)]
    labels, kind = _labels_beside(bright, name)
    if labels is None:
        return True
    of_scan = [p for p in beside if stem(p).rpartition("_")[2].lower() in SEQUENCES]
    return all(explained(path, labels, kind) >= LEAST_EXPLAINED for path in of_scan)


def _tissue_map(path: Path, sequence: str, output: Path, model: LoadedModel) -> Path:
    """Draw a scan's tissues, unless that was done before."""
    prefix = stem(path)
    made = output / f"{prefix}_dseg.nii.gz"
    if not made.is_file():
        key = {"T1w": "t1", "T2w": "t2"}.get(sequence, sequence.lower())
        result = predict({key: path}, model=model, options=Options())
        result.save(output, prefix=prefix, kinds=("tissue",))
    return made.resolve()


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.scan_table`."""
    parser = command_parser("scan_table", __doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    parser.add_argument("--model", help="draws the tissues that have no labels; else the bundled")
    chosen = parser.parse_args(arguments)
    table = scan_table(chosen.folders, chosen.output, model=chosen.model)
    return str(table)


if __name__ == "__main__":
    run_command(main)
