"""From an output folder to a folder of pages."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from strokeseg.errors import UsageError
from strokeseg.files.links import leads_out
from strokeseg.machine import thread_count
from strokeseg.report.case_files import CASES, Parts, fingerprint, make_parts, volumes_name
from strokeseg.report.contents import case_content, index_content
from strokeseg.report.facts import CaseFacts, gather_facts
from strokeseg.report.folder import ReportFolder
from strokeseg.report.rendering import Identity, Pages, assets
from strokeseg.report.slugs import plain_names
from strokeseg.report.thumbnails import smaller
from strokeseg.report.viewer_layers import is_volume_script
from strokeseg.results.archive import OVERLAP_FOLDER, PICTURE_NAME, some_filed_cases

VIEWER_MB = 4.0
_MOST_VIEWER_MB = 200.0
_LESION_MAP = "lesion_map.jpg"


@dataclass(frozen=True)
class BuiltReport:
    """What was made.

    Attributes
    ----------
    index : Path
        The page to open.
    cases, failed, kept : int
        All cases, those whose last try failed, and those taken over from the earlier report.
    damaged : mapping
        Why a case's record or error file cannot be read, by the case's name; it counts as failed.
    """

    index: Path
    cases: int
    failed: int
    kept: int
    damaged: Mapping[str, str] = field(default_factory=dict)


def build_report(
    output: Path,
    *,
    title: str | None = None,
    viewer_mb: float = VIEWER_MB,
    fresh: bool = False,
    on_case: Callable[[int, int], None] = lambda _done, _total: None,
) -> BuiltReport:
    """Make the pages of a cohort, OUTPUT/report, in place of those that are there.

    A case whose record and files are as they were keeps its volumes and pictures; pages are always
    made anew. The earlier report stays as it is until the new one is whole.

    Parameters
    ----------
    output : Path
        Where results lie, in any depth.
    title : str, optional
        Heading of the pages; else the folder's name.
    viewer_mb : float
        Largest packed size of one volume in the viewer, in MB; larger ones are shown in larger
        voxels. 0 leaves the viewer out.
    fresh : bool
        Make everything anew.
    on_case : callable
        Told how many of how many cases are done.

    Raises
    ------
    InputNotFoundError
        There is no such folder, or no case in it.
    DataError
        A file of a case is a link out of the folder, a pipe or a device.
    UsageError
        The size is out of range.
    CannotCreateError, ReadWriteError
        The report cannot be written.
    """
    if not 0 <= viewer_mb <= _MOST_VIEWER_MB:
        raise UsageError(f"--viewer-mb is {viewer_mb:g}: give 0 to {_MOST_VIEWER_MB:g}, such as 4")
    cases = [gather_facts(case, output) for case in some_filed_cases(output)]
    slugs = plain_names([(case.name, case.key) for case in cases])
    with ReportFolder(output) as folder:
        earlier = {} if fresh else folder.earlier.get("cases")
        work = _Work(folder, output, viewer_mb, earlier if isinstance(earlier, Mapping) else {})
        done = work.run(cases, slugs, on_case)
        report_id = folder.earlier.get("report_id")
        identity = Identity(
            report_id if isinstance(report_id, str) and report_id else secrets.token_hex(8),
            title or output.resolve().name,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        parts = [each.parts for each in done]
        _write_pages(folder, output, Pages(identity), cases, slugs, parts, viewer_mb > 0)
        index = folder.commit(
            {
                "report_id": identity.report_id,
                "built": identity.built,
                "cases": {
                    case.key: {"fingerprint": each.fingerprint, "parts": each.parts.as_manifest()}
                    for case, each in zip(cases, done, strict=True)
                },
            }
        )
    failed = sum(case.status != "done" for case in cases)
    damaged = {case.name: case.case.damage for case in cases if case.case.damage}
    return BuiltReport(index, len(cases), failed, sum(each.kept for each in done), damaged)


@dataclass(frozen=True)
class _Made:
    parts: Parts
    fingerprint: str
    kept: bool


@dataclass(frozen=True)
class _Work:
    # Makes the parts of cases, or takes them over, on a few threads.
    folder: ReportFolder
    output: Path
    viewer_mb: float
    earlier: Mapping[str, object]

    def run(
        self,
        cases: Sequence[CaseFacts],
        slugs: Sequence[str],
        on_case: Callable[[int, int], None],
    ) -> list[_Made]:
        """Do all cases, in their order."""
        done: list[_Made] = []
        pool = ThreadPoolExecutor(thread_count())
        try:
            for made in pool.map(self._one, cases, slugs):
                done.append(made)
                on_case(len(done), len(cases))
        finally:
            pool.shutdown(cancel_futures=True)
        return done

    def _one(self, case: CaseFacts, slug: str) -> _Made:
        stamp = fingerprint(case, self.output, slug, self.viewer_mb)
        entry = self.earlier.get(case.key)
        if isinstance(entry, Mapping) and entry.get("fingerprint") == stamp:
            parts = Parts.from_manifest(entry.get("parts"), slug)
            if parts is not None and all(map(self._keep, parts.files)):
                return _Made(parts, stamp, kept=True)
        parts = make_parts(self.folder, case, self.output, slug, self.viewer_mb)
        return _Made(parts, stamp, kept=False)

    def _keep(self, name: str) -> bool:
        return self.folder.keep(name, is_volume_script if name.endswith(".js") else None)


def _write_pages(
    folder: ReportFolder,
    output: Path,
    pages: Pages,
    cases: Sequence[CaseFacts],
    slugs: Sequence[str],
    parts: Sequence[Parts],
    viewer: bool,
) -> None:
    for name, content in assets().items():
        folder.write(name, content)
    for place, (slug, made) in enumerate(zip(slugs, parts, strict=True)):
        volumes = volumes_name(slug).rpartition("/")[2] if made.layers else None
        page = pages.case(case_content(cases, slugs, place, made, viewer), volumes)
        folder.write(f"{CASES}/{slug}.html", page)
    lesion_map = _copy_lesion_map(folder, output)
    folder.write("index.html", pages.index(index_content(cases, slugs, parts, lesion_map)))


def _copy_lesion_map(folder: ReportFolder, output: Path) -> str:
    """Take the picture of the cohort's lesion map over, where there is one; gives its name."""
    path = output / OVERLAP_FOLDER / PICTURE_NAME
    if leads_out(path, output):
        return ""
    try:
        picture = smaller(path.read_bytes())
    except OSError:
        return ""
    if picture is None:
        return ""
    folder.write(_LESION_MAP, picture)
    return _LESION_MAP
