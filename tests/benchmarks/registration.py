"""How well scans of one case are brought onto each other: made-up displacements of real scans.

Run by ``python -m tests.benchmarks.registration [COUNT]``. A scan is displaced by up to 40 mm and
30 degrees by its affine alone, so that a network sees the same voxels; the error is how far the
corners of a box around the brain lie from where the header had them.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from strokeseg import Hardware, Options, load_model
from strokeseg.engines.base import ScanLogits
from strokeseg.prediction import pipeline
from strokeseg.prediction.alignment import compare_brains
from strokeseg.space.grid import Grid
from tests.factories import SCANS, rotation

PAIRS = (
    ("acute", "dwi", SCANS / "sub-acute_dwi.nii.gz", "flair", SCANS / "sub-acute_FLAIR.nii.gz"),
    *(
        (name, "t1", SCANS.parent / f"{folder}/{name}_T1w.nii.gz", other, file)
        for folder, name, other, file in (
            ("ms", "ms-01_ses-1", "flair", SCANS.parent / "ms/ms-01_ses-1_FLAIR.nii.gz"),
            ("ms", "ms-12_ses-2", "t2", SCANS.parent / "ms/ms-12_ses-2_T2w.nii.gz"),
            ("elderly", "elderly-01", "flair", SCANS.parent / "elderly/elderly-01_FLAIR.nii.gz"),
        )
    ),
)


class _Seen(Exception):  # noqa: N818 - a way out of the pipeline, no error
    """Carries what the network saw."""


def seen(images, model):
    """Members of a case, by the product's own steps."""

    def stop(scans, members, run):
        raise _Seen(scans, members, run.models[0].model.config.class_names)

    conclude, pipeline._conclude = pipeline._conclude, stop
    try:
        pipeline.predict(images, model=model, options=Options(tta=False))
    except _Seen as found:
        return found.args
    finally:
        pipeline._conclude = conclude
    raise AssertionError


def displaced(member, truth):
    """The same member, as if its header had another affine."""
    working, native = (Grid(g.shape, truth @ g.affine) for g in (member.working, member.native))
    return replace(member, working=working, native=native)


def main(count):
    rng = np.random.default_rng(0)
    model = load_model("synth-open", Hardware())
    errors, at_rest, seconds = [], [], []
    for name, first, path, second, other in PAIRS:
        scans, members, names = seen({first: path, second: other}, model)
        members = [replace(m, logits=ScanLogits(m.logits.mean, [])) for m in members]
        order = list(scans.seen)
        fixed, moving = members[order.index(first)], members[order.index(second)]
        middle = np.append((np.array(fixed.working.shape) - 1) / 2, 1)
        centre = (fixed.working.affine @ middle)[:3]
        box = np.array([(x, y, z) for x in (-60, 60) for y in (-75, 75) for z in (-50, 50)])
        corners = np.c_[box + centre, np.ones(8)].T
        for number in range(max(1, count // len(PAIRS)) + 1):
            truth = np.eye(4)
            if number:
                shift = rng.normal(size=3)
                shift *= rng.uniform(0, 40) / np.linalg.norm(shift)
                axis = rng.normal(size=3)
                truth[:3, :3] = rotation(axis / np.linalg.norm(axis) * rng.uniform(0, 30))
                truth[:3, 3] = centre - truth[:3, :3] @ centre + shift
            started = time.perf_counter()
            pair = [fixed, displaced(moving, truth)]
            found = compare_brains(("a", "b"), pair, "a", names)["b"]
            seconds.append(time.perf_counter() - started)
            error = np.linalg.norm(((found.to_scan - truth) @ corners)[:3], axis=0).mean()
            (errors if number else at_rest).append(error)
        shown = np.array(errors)
        print(  # noqa: T201
            f"{name} {second} on {first}: so far n = {shown.size}, median "
            f"{np.median(shown):.2f} mm, under 3 mm {(shown < 3).mean():.1%}, largest "
            f"{shown.max():.1f} mm; "
            f"undisplaced moved by {at_rest[-1]:.2f} mm; {np.median(seconds):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
