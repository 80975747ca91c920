"""`strokeseg doctor`: what is installed, and whether every engine computes the right thing."""

import json
from typing import Annotated, Any

import typer

from strokeseg.cli.show.lines import show_facts, show_table, show_text
from strokeseg.errors import EngineError, StrokesegError


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001
) -> None:
    """Check this installation: versions, memory, cache, and the default model on every engine."""
    from strokeseg.models.diagnosis import diagnose

    report = diagnose()
    if as_json:
        show_text(json.dumps(report, indent=2))
    else:
        _show(report)
    failed = [check["engine"] for check in report["engines"] if not check["passed"]]
    if failed:
        raise EngineError(
            f"the default model fails its golden check on {', '.join(failed)}: choose another "
            "--engine, and please report this with `strokeseg doctor --json`"
        )
    if report["model"].get("error"):
        raise StrokesegError(report["model"]["error"])


def _show(report: dict[str, Any]) -> None:
    """Print facts, then the table of engines."""
    model = report["model"]
    show_facts(
        {
            **{name: str(value) for name, value in report["system"].items()},
            "default model": f"{model.get('name')} (sha256 {str(model.get('sha256'))[:12]})",
            "packages": ", ".join(f"{k} {v}" for k, v in report["packages"].items()),
        }
    )
    rows = [
        (
            check["engine"],
            check["version"],
            check["device"],
            "ok" if check["passed"] else f"FAILED: {check['problem']}",
            "-" if check["worst_difference"] is None else f"{check['worst_difference']:.1e}",
            "-" if check["seconds"] is None else f"{check['seconds']:.2f}",
        )
        for check in report["engines"]
    ]
    columns = ("engine", "version", "device", "golden check", "worst difference", "seconds")
    show_table(columns, rows)
