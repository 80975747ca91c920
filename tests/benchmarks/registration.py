"""How well scans of one case are brought onto each other: made-up displacements of real scans.

Run by ``python -m tests.benchmarks.registration [COUNT]``. A scan is displaced by up to 40 mm and
30 degrees by its affine alone, so that a network sees the same voxels; everything else is what
``--register always`` does. The error is how far the corners of a box around the brain (120 x 150 x
100 mm) lie, in the mean, from where the headers had them; as headers are not exact themselves, also
from where the same pair is brought without a displacement.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from strokeseg import Hardware, Options, load_model
from strokeseg.engines.base import ScanLogits
from strokeseg.images.reading import read
from strokeseg.prediction import pipeline
from strokeseg.prediction.alignment import compare_brains
from strokeseg.prediction.registration import register_members
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from tests.factories import SCANS, rotation

PAIRS = (
    ("scans/sub-acute", "dwi", "dwi", "flair", "FLAIR"),
    ("scans/sub-acute", "dwi", "dwi", "adc", "adc"),
    ("ms/ms-01_ses-1", "t1", "T1w", "flair", "FLAIR"),
    ("ms/ms-12_ses-2", "t1", "T1w", "t2", "T2w"),
    ("ms/ms-19_ses-1", "flair", "FLAIR", "t1", "T1w"),
    ("elderly/elderly-01", "t1", "T1w", "flair", "FLAIR"),
)


class _Seen(Exception):  # noqa: N818 - a way out of the pipeline, no error
    """Carries what the network saw."""


def seen(images, model):
    """Members of a case and pictures of its scans, by the product's own steps."""

    def stop(scans, members, run):
        raise _Seen(scans, members, run.models[0].model.config.class_names)

    conclude, pipeline._conclude = pipeline._conclude, stop
    try:
        pipeline.predict(images, model=model, options=Options(tta=False, register_always=True))
    except _Seen as found:
        return found.args
    finally:
        pipeline._conclude = conclude
    raise AssertionError


def displaced(member, truth):
    """The same member, as if its header had another affine."""
    working, native = (Grid(g.shape, truth @ g.affine) for g in (member.working, member.native))
    return replace(member, working=working, native=native)


def drawn(rng, centre):
    """A displacement about a centre."""
    shift, axis = rng.normal(size=(2, 3))
    truth = np.eye(4)
    truth[:3, :3] = rotation(axis / np.linalg.norm(axis) * rng.uniform(0, 30))
    shift *= rng.uniform(0, 40) / np.linalg.norm(shift)
    truth[:3, 3] = centre - truth[:3, :3] @ centre + shift
    return truth


def line(errors):
    shown = np.array(errors)
    return f"{np.median(shown):.2f} mm, {(shown < 3).mean():.1%} < 3 mm, most {shown.max():.1f} mm"


def main(count):
    rng = np.random.default_rng(0)
    model = load_model("synth-open", Hardware())
    from_headers, from_rest, seconds, cpu = [], [], [], []
    for stem, first, fixed_name, second, moving_name in PAIRS:
        paths = {
            name: SCANS.parent / f"{stem}_{ending}.nii.gz"
            for name, ending in ((first, fixed_name), (second, moving_name))
        }
        scans, passed, names = seen(paths, model)
        members = [replace(m, logits=ScanLogits(m.logits.mean, [])) for m in passed.members]
        by_name = {member.modality: member for member in members}
        volume = read(paths[second])
        centre = scans.pictures[first].centre_mm
        box = np.array([(x, y, z) for x in (-60, 60) for y in (-75, 75) for z in (-50, 50)])
        corners = np.c_[box + centre, np.ones(8)].T
        rest = None
        for number in range(max(1, count // len(PAIRS)) + 1):
            truth = drawn(rng, centre) if number else np.eye(4)
            started, spent = time.perf_counter(), time.process_time()
            moved = Grid(volume.grid.shape, truth @ volume.grid.affine)
            pictures = {first: scans.pictures[first], second: picture_of(volume.data, moved)}
            pair = [by_name[first], displaced(by_name[second], truth)]
            found = compare_brains(pair, first, names)
            done = register_members(pair, found, pictures, first, names, [second])
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - spent)
            kept = second in done and done[second].is_kept
            to_moving = done[second].fit.to_moving if kept else np.eye(4)
            apart = np.linalg.norm(((to_moving - truth) @ corners)[:3], axis=0).mean()
            if rest is None:
                rest = to_moving
                print(f"{stem} {second} on {first}: undisplaced moved by {apart:.2f} mm")  # noqa: T201
                continue
            from_headers.append(apart)
            twin = truth @ rest
            from_rest.append(np.linalg.norm(((to_moving - twin) @ corners)[:3], axis=0).mean())
        print(  # noqa: T201
            f"  so far n = {len(from_rest)}: from headers {line(from_headers)}; from the "
            f"undisplaced pair {line(from_rest)}; a pair {np.median(seconds):.1f} s "
            f"({np.median(cpu):.1f} s of CPU)",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
