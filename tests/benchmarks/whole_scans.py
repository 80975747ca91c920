"""Models through the product on the validation scans: a table by kind and sequence, with n.

``python -m tests.benchmarks.whole_scans old=weights/old new=weights/synth-open --share 0.5 -o OUT``
draws held-out heads whole, in one and in several sequences, reads the real scans without stroke and
the held-out slices, and predicts each with every model as a user would, by one pass unless
``--flips`` asks for eight. OUT gets ``cases.tsv`` and ``table.md``.
"""

import argparse
import csv
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from strokeseg import Options, load_model, predict
from strokeseg.evaluation.metrics.matching import match_lesions
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.models.loading import Hardware
from strokeseg.training.config import read_config
from strokeseg.training.data.sources import load_sources
from strokeseg.training.validation.whole_scans import SINGLE, Sizes, validation_scans

COLUMNS = ("model", "group", "case", "dice", "lf1", "false_ml", "true_ml", "seconds")


def group_of(case):
    """Name a case's row of the table; heads in one sequence by it."""
    return f"{SINGLE}: {', '.join(case.scans)}" if case.group == SINGLE else case.group


def judge(case, model, flips):
    """Predict a case and hold it against its truth."""
    started = time.perf_counter()
    result = predict(
        dict(case.scans),
        model=model,
        options=Options(tta=flips),
    )
    seconds = time.perf_counter() - started
    truth = np.zeros(result.mask.shape, np.bool_) if case.truth is None else case.truth
    mask = result.mask > 0
    ml = result.grid.voxel_volume_ml
    scores = ("", "")
    if case.truth is not None:
        scores = (dice(mask, truth), match_lesions(mask, truth).lf1)
    return *scores, float((mask & ~truth).sum()) * ml, float(truth.sum()) * ml, seconds


def table(rows):
    """Give the means as Markdown: per group a line, per model Dice, LF1, false ml and seconds."""
    models = list(dict.fromkeys(row[0] for row in rows))
    by = defaultdict(list)
    for row in rows:
        by[row[1], row[0]].append(row[3:])
    head = " | ".join(f"{name}: Dice | LF1 | false ml | s" for name in models)
    lines = [f"| group | n | {head} |", "|---|---|" + "---|" * 4 * len(models)]
    for group in dict.fromkeys(row[1] for row in rows):
        cells = []
        for name in models:
            found = by[group, name]
            scored = [entry[:2] for entry in found if entry[0] != ""]
            score = [f"{mean:.2f}" for mean in np.mean(scored, axis=0)] if scored else ["-", "-"]
            false, seconds = (np.mean([entry[i] for entry in found]) for i in (2, 4))
            cells += [*score, f"{false:.1f}", f"{seconds:.1f}"]
        lines.append(f"| {group} | {len(by[group, models[0]])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--config", default="synth-open-real")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--flips", action="store_true", help="eight instead of one")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    config = read_config(chosen.config)
    usual = Sizes()
    counts = (usual.single, usual.several, usual.slices, usual.free_slices)
    sizes = Sizes(*(max(1, round(chosen.share * count)) for count in counts))
    models = {}
    for entry in chosen.models:
        name, _, folder = entry.partition("=")
        models[name] = load_model(folder, Hardware(threads=chosen.threads))
    chosen.output.mkdir(parents=True, exist_ok=True)
    sources = load_sources(config.data, held_out=True)
    rows = []
    with (chosen.output / "cases.tsv").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for case in validation_scans(sources, config, chosen.data, sizes):
            for name, model in models.items():
                row = (name, group_of(case), case.name, *judge(case, model, chosen.flips))
                rows.append(row)
                writer.writerow(row)
                stream.flush()
    (chosen.output / "table.md").write_text(table(rows))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
