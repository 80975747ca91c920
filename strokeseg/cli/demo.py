"""`strokeseg demo`: the whole job on a scan that comes with the package."""

from pathlib import Path

from strokeseg.cli import arguments as a
from strokeseg.cli.predict import Job, Output, run_job, show_summary
from strokeseg.cli.show.lines import show_facts


def demo(
    *,
    output: a.Output = Path("strokeseg_demo"),
    overwrite: a.Overwrite = False,
    engine: a.EngineName = "auto",
    device: a.Device = "auto",
    threads: a.Threads = None,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Segment a small synthetic scan that comes with the package, and compare with the truth."""
    from strokeseg.demo import demo_case, demo_truth
    from strokeseg.evaluation.metrics.voxels import dice
    from strokeseg.measure.lesions import mask_volume_ml
    from strokeseg.models.loading import Hardware
    from strokeseg.prediction.options import Options
    from strokeseg.results.output_names import KINDS

    case = demo_case()
    truth = demo_truth(case)
    job = Job(
        images={"flair": case.scan},
        models=(),
        hardware=Hardware(engine, device, threads=threads),
        options=Options(uncertainty=True),
        offline=True,
        output=Output(output, None, frozenset(KINDS), overwrite),
        truth=truth,
    )
    result, written = run_job(job, quiet=quiet)
    if quiet:
        return
    show_summary(result, written)
    show_facts(
        {
            "true volume": f"{mask_volume_ml(truth, result.grid):.2f} ml",
            "Dice": f"{dice(result.mask, truth):.3f}",
        }
    )
