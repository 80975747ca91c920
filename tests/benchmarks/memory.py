"""Peak memory against field of view, with and without `--max-memory`, as Markdown tables.

Run it by hand: ``python -m tests.benchmarks.memory``. Synthetic heads of one field of view of
256 mm are written at 1.0 to 0.4 mm, up to 640^3, and `strokeseg predict` segments each in a process
of its own, whose peak the system tells once it has ended. ``--engines`` holds the engines' windows
against `strokeseg.engines.footprint` instead. Nothing takes more than about 6 GB.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.predict import paper_model
from tests.factories import head_at

FIELD_OF_VIEW_MM = 256.0
VOXEL_SIZES_MM = (1.0, 0.8, 0.6, 0.5, 0.4)
# The head of the tests, 3.2 times as large.
ENLARGED = 3.2
MIDDLE_MM = np.array([3.0, -12.0, 7.0])
HEADER = (
    "| model | voxels | voxel, mm | file | flips | limit | window | threads | seconds | peak, GB "
    "| predicted, GB | held |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)

ENGINE_HEADER = (
    "| engine | precision | window | took, MB | predicted, MB |\n|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Case:
    """One row: a model, a scan, and what the process may hold."""

    model: str
    size_mm: float
    suffix: str = ".nii"
    limit: str | None = None
    flips: int = 8


def cases() -> Iterator[Case]:
    """Give the rows: everything unlimited and within 4 GB, then what is only just possible."""
    for size_mm in VOXEL_SIZES_MM:
        yield Case("synth-open", size_mm)
        yield Case("synth-open", size_mm, limit="4G")
    yield Case("synth-open", 0.4, ".nii.gz", "4G")
    yield Case("synth-open", 0.4, limit="3G")
    yield Case("synth-open", 1.0, limit="1G")
    for size_mm in (1.0, 0.4):
        yield Case("paper", size_mm, flips=1)
        yield Case("paper", size_mm, limit="4G", flips=1)
    for limit in ("2.6G", "2.2G", "2G"):
        yield Case("paper", 1.0, limit=limit, flips=1)


def write_head(path: Path, size_mm: float) -> int:
    """Write a head plane by plane, int16; gives the voxels along an edge."""
    import nibabel as nib

    edge = round(FIELD_OF_VIEW_MM / size_mm)
    centres = (np.arange(edge) - (edge - 1) / 2) * size_mm
    affine = np.diag([size_mm, size_mm, size_mm, 1.0])
    affine[:3, 3] = centres[0]
    header = nib.Nifti1Header()
    header.set_data_shape((edge, edge, edge))
    header.set_data_dtype(np.int16)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    x, y = np.meshgrid(centres, centres, indexing="ij")
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        for z in centres:
            points = np.stack([x, y, np.full_like(x, z)], axis=-1) / ENLARGED + MIDDLE_MM
            file.write(np.rint(head_at(points)).astype(np.int16).tobytes(order="F"))
    return edge


def run(case: Case, folder: Path, models: dict[str, str]) -> str:
    """Segment one head in a process of its own and give its row."""
    scan = folder / f"head-{case.size_mm:g}mm{case.suffix}"
    edge = write_head(scan, case.size_mm) if not scan.exists() else round(256 / case.size_mm)
    output = Path(tempfile.mkdtemp(dir=folder))
    start = "from strokeseg.cli import main; main()"
    command = [sys.executable, "-c", start, "predict", "--t1", str(scan)]
    command += ["-o", str(output), "--overwrite", "--offline", "-q", "--threads", "1"]
    command += ["--model", models[case.model], "--tta" if case.flips > 1 else "--no-tta"]
    command += ["--max-memory", case.limit] if case.limit else []
    started = time.perf_counter()
    # The kernel counts what this process holds, some 0.3 GB, as the least peak of its child.
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds, peak = time.perf_counter() - started, usage.ru_maxrss * 1024
    code = os.waitstatus_to_exitcode(status)
    window = threads = predicted = "-"
    held = "-" if case.limit is None else "refused before reading" if code == 65 else "failed"
    if code == 0:
        record = json.loads(next(output.glob("*_strokeseg.json")).read_text())
        window, threads = str(record["models"][0]["window"]), str(record["memory"]["threads"])
    if code == 0 and case.limit is not None:
        predicted = f"{record['memory']['predicted_bytes'] / 1e9:.2f}"
        held = "yes" if peak <= record["memory"]["limit_bytes"] else "NO"
    return (
        f"| {case.model} | {edge}^3 | {case.size_mm:g} | {case.suffix} | {case.flips} "
        f"| {case.limit or 'none'} | {window} | {threads} | {seconds:.0f} | {peak / 1e9:.2f} "
        f"| {predicted} | {held} |\n"
    )


def measure_engine(engine: str, precision: str, window: int) -> str:
    """Run one window in this process and give what it took, beside what was predicted."""
    from strokeseg.engines.choice import open_engine
    from strokeseg.engines.footprint import window_bytes
    from strokeseg.machine import resident_bytes
    from strokeseg.models.finding import load_model_files

    model = load_model_files(offline=True)
    opened = open_engine(
        model.config.spec,
        model.state,
        engine=engine,
        device="cpu",
        threads=1,
        precision=precision,
        lean=True,
    )
    image = np.random.default_rng(0).standard_normal((window,) * 3).astype(np.float32)
    out = np.zeros((opened.classes, *image.shape), np.float32)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident_bytes() or 0
    opened.logits(image, out)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    predicted = window_bytes(engine, precision, model.config.spec, image.shape)
    return (
        f"| {engine} | {precision} | {window} | {(peak - before) / 1e6:.0f} "
        f"| {predicted / 1e6:.0f} |\n"
    )


def main() -> None:
    """Run the rows and print each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", action="store_true", help="the engines' windows instead")
    parser.add_argument("--model", help="rows of this model alone: synth-open or paper")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        engine, precision, window = arguments.inside
        _write(measure_engine(engine, precision, int(window)))
        return
    if arguments.engines:
        _write(ENGINE_HEADER)
        for engine, precision in (
            ("openvino", "fp32"),
            ("openvino", "bf16"),
            ("onnxruntime", "fp32"),
            ("torch", "fp32"),
            ("torch", "bf16"),
        ):
            for window in (64, 96, 128, 160, 192):
                inside = ["--inside", engine, precision, str(window)]
                command = [sys.executable, "-m", "tests.benchmarks.memory", *inside]
                os.waitpid(os.posix_spawn(sys.executable, command, os.environ), 0)
        return
    _write(HEADER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {"synth-open": "synth-open", "paper": str(paper_model(folder / "paper"))}
        for case in cases():
            if arguments.model in (None, case.model):
                _write(run(case, folder, models))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
