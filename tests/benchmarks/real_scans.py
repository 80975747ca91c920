"""What the default model gives on the four real scans, as the README's table.

Run it by hand: ``python -m tests.benchmarks.real_scans [MODEL] [OUTPUT] [--window EDGE]``. The
scans are for measuring only.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from strokeseg import Options, load_model, predict
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.images.reading import read_scan
from tests.factories import SCANS

CASES = (
    ("acute, DWI + ADC + FLAIR", {"dwi": "acute_dwi", "adc": "acute_adc", "flair": "acute_FLAIR"}),
    ("acute, DWI alone", {"dwi": "acute_dwi"}),
    ("acute, ADC alone", {"adc": "acute_adc"}),
    ("chronic, T2w", {"t2": "chronic_T2w"}),
    ("healthy, T1w (Colin27)", {"t1": "colin_T1w"}),
    ("healthy, FLAIR", {"flair": "healthy_FLAIR"}),
)
TRUTH = {"acute": "sub-acute_label-L_mask.nii.gz", "chronic": "sub-chronic_label-L_mask.nii.gz"}


def main() -> None:
    """Predict every case and print the table; pictures go to OUTPUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", nargs="?", help="a name or a folder; the default model if left out"
    )
    parser.add_argument("output", nargs="?", type=Path, help="else a temporary folder")
    parser.add_argument("--window", type=int, help="edge of the window; else the model's")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    output = arguments.output or Path(tempfile.mkdtemp())
    write = sys.stdout.write
    write(
        "| scan | lesion found, ml | 90 % interval, ml | single flips, ml | true, ml | Dice |\n"
        "|---|---|---|---|---|---|\n"
    )
    for title, names in CASES:
        images = {key: SCANS / f"sub-{name}.nii.gz" for key, name in names.items()}
        reference = "dwi" if "dwi" in images else None
        options = Options(reference=reference, window=arguments.window)
        result = predict(images, model=model, options=options)
        result.save(output / title.replace(" ", "_").replace(",", ""))
        low, high = result.volume_range_ml
        between = result.volume_interval_ml
        interval = "-" if between is None else f"{between[0]:.1f} to {between[1]:.1f}"
        truth = next((read_scan(SCANS / TRUTH[k]) for k in TRUTH if title.startswith(k)), None)
        if truth is None:
            true, overlap = "0", "none is right"
        else:
            lesion = np.asarray(truth.data > 0.5)
            true = f"{lesion.sum() * truth.grid.voxel_volume_ml:.1f}"
            overlap = f"{dice(result.mask, lesion):.2f}"
        write(
            f"| {title} | {result.volume_ml:.1f} | {interval} | {low:.1f} to {high:.1f} | {true} "
            f"| {overlap} |\n"
        )
    sys.stderr.write(f"pictures are in {output}\n")


if __name__ == "__main__":
    main()
