"""`strokeseg register`: one scan onto another; and the option ``--register always``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import say_warning, show_facts
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strokeseg.arrays import AffineArray
    from strokeseg.images.reading import Volume

OPTION, ALWAYS = "--register", "always"


class CaseCommand(TyperCommand):
    """A command whose ``--register`` may be followed by ``always``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the arguments once ``--register always`` is one word."""
        return super().parse_args(ctx, join_always(args))


def join_always(arguments: "Sequence[str]") -> list[str]:
    """Make one word of ``--register always`` and ``--register=always``.

    Raises
    ------
    UsageError
        Something else stands behind the equals sign.
    """
    joined: list[str] = []
    for word in arguments:
        name, given, value = word.partition("=")
        if word == ALWAYS and joined and joined[-1] == OPTION:
            joined[-1] = f"{OPTION}-{ALWAYS}"
        elif name == OPTION and given:
            if value != ALWAYS:
                raise UsageError(f"{word}: give {OPTION}, or {OPTION} {ALWAYS}")
            joined.append(f"{OPTION}-{ALWAYS}")
        else:
            joined.append(word)
    return joined


def register(
    moving: Annotated[
        Path, typer.Argument(metavar="MOVING", help="The scan to move.", show_default=False)
    ],
    fixed: Annotated[
        Path | None,
        typer.Argument(metavar="[FIXED]", help="The scan that stays.", show_default=False),
    ] = None,
    *,
    output: a.Output = Path(),
    affine: Annotated[
        bool, typer.Option("--affine", help="Scale and shear, too: two people's heads.")
    ] = False,
    to_mni: Annotated[
        bool,
        typer.Option(
            "--to-mni",
            help="To MNI152, in place of FIXED, by the tissues that the bundled model sees; its "
            "lesion does not count.",
        ),
    ] = False,
    overwrite: a.Overwrite = False,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Bring one scan onto another by mutual information; needs pip install 'strokeseg[itk]'.

    Either may be DICOM (folder, zip, file), or a diffusion series with b-values beside it.

    Written are the moved scan on the other's grid, the transform as ITK has it (.tfm) and a record
    with its metric. Where no move makes it better, it stays where it is, and that is told.
    """
    from strokeseg.files.targets import check_outputs
    from strokeseg.images.arrival import arrived
    from strokeseg.images.file_names import without_ending
    from strokeseg.images.reading import read_scan
    from strokeseg.results.moved_scan import MovedNames, save_moved
    from strokeseg.space.registration import simpleitk

    if to_mni == (fixed is not None) or (affine and to_mni):
        raise UsageError("give FIXED, with --affine or without, or --to-mni, which is affine")
    simpleitk()
    ending = "_space-MNI152" if fixed is None else "_registered"
    names = MovedNames.of(output, f"{without_ending(moving.name).removesuffix('.zip')}{ending}")
    inputs = (moving,) if fixed is None else (moving, fixed)
    check_outputs(names.all, inputs, overwrite=overwrite)
    scan = read_scan(arrived(_contrast_of(moving), moving))
    if fixed is None:
        reference, to_moving, facts = _in_mni(scan)
    else:
        reference = read_scan(arrived(_contrast_of(fixed), fixed))
        to_moving, facts = _found(scan, reference, affine=affine)
    for one in (scan, reference):
        for warning in one.warnings:
            say_warning(warning)
    onto = "MNI152" if fixed is None else fixed.name
    if not facts["kept"]:
        say_warning(f"{moving.name} was left where it is, as no move brought it onto {onto}")
    about = {"moving": moving.name, "fixed": onto, **facts}
    written = save_moved(scan, reference, to_moving, names, about)
    if not quiet:
        show_facts(
            {
                "moved by": f"{facts['moved_mm']:.1f} mm",
                "metric": f"{facts['metric_before']:.3f} before, {facts['metric_after']:.3f} after",
                "written": ", ".join(path.name for path in written),
                "in": str(output.resolve()),
            }
        )


def _contrast_of(path: Path) -> str:
    """Guess what a scan shows by its name or b-values; ``scan`` where neither tells."""
    from strokeseg.cohort.cases.image_names import read_name
    from strokeseg.images.diffusion_series import is_series

    if path.is_file() and is_series(path):
        return "dwi"
    return read_name(path.name.removesuffix(".zip")).modality or "scan"


def _in_mni(scan: "Volume") -> "tuple[Volume, AffineArray, dict[str, Any]]":
    """Find the affine to MNI152, and give a scan on that grid."""
    import numpy as np

    from strokeseg.prediction.options import Options
    from strokeseg.prediction.pipeline import predict
    from strokeseg.prediction.registration import moved_mm

    options = Options(mni=True, tta=False)
    result = predict({"scan": scan}, options=options, offline=True)
    lesion, found = result.in_mni, result.record["mni"]
    if lesion is None:
        raise ValueError("the lesion in MNI152 was asked for and is not there")
    to_moving = np.linalg.inv(found["matrix"])
    return (
        lesion.like,
        to_moving,
        {
            "kind": "affine",
            "metric": found["metric"],
            "metric_before": found["metric_before"],
            "metric_after": found["metric_after"],
            "moved_mm": round(moved_mm(to_moving, np.zeros(3)), 3),
            "kept": True,
        },
    )


def _found(
    moving: "Volume", fixed: "Volume", *, affine: bool
) -> "tuple[AffineArray, dict[str, Any]]":
    """Find the transform; what got worse is undone."""
    import numpy as np

    from strokeseg.prediction.registration import moved_mm
    from strokeseg.space import registration
    from strokeseg.space.pictures import picture_of

    still, other = (picture_of(one.data, one.grid) for one in (fixed, moving))
    fit = registration.register(still, other, affine=affine)
    to_moving = fit.to_moving if fit.is_better else np.eye(4)
    return to_moving, {
        "kind": "affine" if affine else "rigid",
        "metric": "Mattes mutual information, less is better",
        "metric_before": round(fit.metric_before, 4),
        "metric_after": round(fit.metric_after, 4),
        "moved_mm": round(moved_mm(to_moving, still.centre_mm), 3),
        "kept": fit.is_better,
    }
