"""Seconds and memory of one prediction, beside the published chain on the same weights.

Run it by hand on a quiet machine: ``python -m tests.benchmarks.predict``. Every row runs in a
process of its own, so that its peak memory is its own; the chain of MONAI and torch is one of them.
The network is the paper's, at 1 mm in windows of 192, with the bundled weights.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SCAN = Path("../shared/data/scans/sub-colin_T1w.nii.gz")
ROWS = (
    ("MONAI + torch, fp32", "monai", "fp32"),
    ("strokeseg, OpenVINO, fp32", "openvino", "fp32"),
    ("strokeseg, OpenVINO, bf16", "openvino", "bf16"),
    ("strokeseg, ONNX Runtime, fp32", "onnxruntime", "fp32"),
    ("strokeseg, torch, fp32", "torch", "fp32"),
    ("strokeseg, torch, bf16", "torch", "bf16"),
)


def paper_model(folder: Path) -> Path:
    """Write the bundled weights, which are the paper's network, as a model of 1 mm and 192^3."""
    from strokeseg.models.finding import load_model_files

    bundled = load_model_files(offline=True)
    config = bundled.config.spec.to_config()
    config["strokeseg"] = {"threshold": 0.5}
    folder.mkdir(parents=True)
    save_file(dict(bundled.state), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def run_row(model: Path, scan: Path, engine: str, precision: str, output: Path) -> dict:
    """Predict once, in this process; returns seconds per stage and peak memory."""
    started = time.perf_counter()
    if engine == "monai":
        import nibabel as nib

        from strokeseg.models.finding import load_model_files
        from tests.monai_chain import Chain

        chain = Chain(load_model_files(str(model)))
        mask = chain.mask(scan, "t1")
        with chain.timed("results"):
            affine = nib.load(scan).affine
            nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), output / "mask.nii.gz")
        seconds = chain.seconds
        network = seconds["network"]
    else:
        from strokeseg import Hardware, load_model, predict

        loaded = load_model(str(model), Hardware(engine, "cpu", precision))
        seconds = {"load model": time.perf_counter() - started}
        spent = _count_network(loaded.engine)
        started = time.perf_counter()
        result = predict({"t1": scan}, model=loaded)
        saving = time.perf_counter()
        result.save(output)
        seconds |= result.record["seconds"] | {"save": time.perf_counter() - saving}
        network = spent[0]
    total = time.perf_counter() - started
    from strokeseg.machine import peak_memory_bytes

    return {
        "seconds": seconds,
        "network": network,
        "total": total,
        "peak_bytes": peak_memory_bytes(),
    }


def _count_network(engine: object) -> list[float]:
    """Add up the time that an engine spends inside the network."""
    spent = [0.0]
    # Torch keeps a scan's windows on the device and does not pass through `logits`.
    name = "_run" if engine.name == "torch" else "logits"  # type: ignore[attr-defined]
    inside = getattr(engine, name)

    def timed(*arguments: object, **keywords: object) -> object:
        started = time.perf_counter()
        try:
            return inside(*arguments, **keywords)
        finally:
            spent[0] += time.perf_counter() - started

    setattr(type(engine), name, lambda _self, *a, **k: timed(*a, **k))
    return spent


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, default=SCAN)
    parser.add_argument("--rows", nargs="*", help="engine:precision, such as openvino:fp32")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        model, engine, precision, output = arguments.inside
        outcome = run_row(Path(model), arguments.scan, engine, precision, Path(output))
        sys.stdout.write("RESULT " + json.dumps(outcome) + "\n")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = paper_model(folder / "paper")
        reference = None
        write = sys.stdout.write
        write(
            "| chain | total s | network s | other s | other/network | times faster | peak GB |\n"
        )
        write("|---|---|---|---|---|---|---|\n")
        for title, engine, precision in ROWS:
            if arguments.rows and f"{engine}:{precision}" not in arguments.rows:
                continue
            output = folder / f"{engine}-{precision}"
            output.mkdir()
            command = [sys.executable, "-m", "tests.benchmarks.predict", "--scan"]
            command += [str(arguments.scan), "--inside", str(model), engine, precision, str(output)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT "))
            row = json.loads(line.removeprefix("RESULT "))
            total, network = row["total"], row["network"]
            reference = total if engine == "monai" else reference
            speed = "-" if reference is None else f"{reference / total:.2f}"
            other = total - network
            write(
                f"| {title} | {total:.1f} | {network:.1f} | {other:.1f} | {other / network:.0%} "
                f"| {speed} | {row['peak_bytes'] / 1e9:.2f} |\n"
            )
            stages = ", ".join(f"{k} {v:.2f}" for k, v in row["seconds"].items())
            sys.stderr.write(f"{title}: {stages}\n")


if __name__ == "__main__":
    main()
