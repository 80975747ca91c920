"""Memory of a batch, case by case: it must not grow with the number of cases.

Run it by hand: ``python -m tests.benchmarks.cohort_memory``. The cases are the demonstration scan,
each cut and scaled a little differently, so that shapes and sizes change from case to case. The
batch runs in a process of its own, with the bundled model; what that process holds is printed after
each case, and at the end the growth per case, as a straight line through the second half has it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PAGE = 4096


def write_cases(folder: Path, count: int) -> None:
    """Write scans of different shapes, each in a folder of its own."""
    import nibabel as nib

    from strokeseg.demo import demo_case

    image = nib.load(demo_case().scan)
    data = np.asarray(image.dataobj)
    rng = np.random.default_rng(0)
    for index in range(count):
        low, high = rng.integers(0, 12, 3), rng.integers(1, 12, 3)
        cut = tuple(slice(a, -b) for a, b in zip(low, high, strict=True))
        affine = image.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ low
        name = f"case{index + 1:02d}"
        (folder / name).mkdir(parents=True)
        scaled = (data[cut] * rng.uniform(0.8, 1.2)).astype(np.float32)
        nib.save(nib.Nifti1Image(scaled, affine), folder / name / f"{name}_FLAIR.nii.gz")


class Watch:
    """A listener that notes what this process holds when a case ends."""

    def on_stage(self, case: str, stage: str) -> None:
        """Do nothing."""

    def on_notice(self, text: str) -> None:
        """Do nothing."""

    def on_outcome(self, outcome: object) -> None:
        """Write a line."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        line = {"case": outcome.case, "status": outcome.status, "bytes": pages * PAGE}  # type: ignore[attr-defined]
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def run_inside(folder: Path, *, tta: bool) -> None:
    """Run the batch in this process."""
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.cohort.batch.run import Runner, prepare_job, run_cases
    from strokeseg.cohort.cases.find import find_cases
    from strokeseg.prediction.options import Options
    from strokeseg.results.output_names import KINDS

    cohort = find_cases(folder / "in")
    options = Options(tta=tta, uncertainty=True)
    job = BatchJob(folder / "out", options=options, kinds=frozenset(KINDS), offline=True)
    job = prepare_job(job, cohort.cases, cohort.root, Watch())
    run_cases(cohort.cases, job, Runner(), Watch())


def main() -> None:
    """Run the batch and print what it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--tta", action="store_true", help="all eight flips")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_inside(arguments.inside, tta=arguments.tta)
        return
    with tempfile.TemporaryDirectory() as name:
        write_cases(Path(name) / "in", arguments.cases)
        command = [sys.executable, "-m", "tests.benchmarks.cohort_memory", "--inside", name]
        command += ["--tta"] if arguments.tta else []
        held = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                found = json.loads(line)
                held.append(found["bytes"] / 1e6)
                sys.stdout.write(f"{found['case']}  {found['status']:<7}  {held[-1]:7.0f} MB\n")
                sys.stdout.flush()
        half = np.array(held[len(held) // 2 :])
        growth = np.polyfit(np.arange(half.size), half, 1)[0] if half.size > 1 else 0.0
        sys.stdout.write(
            f"most {max(held):.0f} MB; second half {half.min():.0f} to {half.max():.0f} MB, "
            f"growing by {growth:+.2f} MB a case\n"
        )


if __name__ == "__main__":
    main()
