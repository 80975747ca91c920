"""Run one target with one engine in a process of its own, which may die of it.

``python -m tests.fuzz.worker TARGET ENGINE RUNS SEED FOLDER`` leaves ``report.json`` in FOLDER, and
the input that is being tried in ``current.bin``, should the process end with it.
"""

import contextlib
import faulthandler
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST_STALL_S = 60
ROOM_BYTES = 1 << 30
REPORT_EVERY = 500
LONGEST_INPUT = 1 << 16
INSTRUMENTED = ["strokeseg", "tomllib", "nibabel.nifti1", "nibabel.quaternions"]


def main(target: str, engine: str, runs: int, seed: int, folder: Path) -> None:
    """Run the trials."""
    with _instrumented() if engine == "atheris" else contextlib.nullcontext():
        from tests.fuzz.seeds import corpus
        from tests.fuzz.tally import Tally
        from tests.fuzz.targets import TARGETS
        from tests.fuzz.trial import attempt, measured
    chosen, tally = TARGETS[target], Tally(target, engine)
    files, current = folder / "files", folder / "current.bin"
    files.mkdir()

    def give(data: bytes) -> None:
        current.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_STALL_S)
        with _limited_memory():
            trial = attempt(chosen, data, files)
        signal.setitimer(signal.ITIMER_PROF, 0)
        tally.add(data, trial)
        if tally.tried % REPORT_EVERY == 0 or tally.tried == runs:
            tally.write(folder / "report.json")

    # Compiled code that never comes back ends the process, by a timer: faulthandler's watchdog is a
    # thread, and CPython 3.11 may crash if one begins while tracemalloc stops (gh-128679).
    faulthandler.register(signal.SIGPROF, chain=True)
    with measured():
        if engine != "atheris":
            for data in corpus(target):
                give(data)
        if engine == "mutate":
            _mutate(give, target, runs, seed)
        elif engine == "hypothesis":
            _draw(give, target, runs, seed)
        else:
            _guide(give, target, runs, seed, folder)
    tally.write(folder / "report.json")


def _mutate(give: Callable[[bytes], None], target: str, runs: int, seed: int) -> None:
    """Try mutations of the corpus, from a seed."""
    from tests.fuzz.targets import TARGETS, mutated

    rng = random.Random(seed)
    for _ in range(runs):
        give(mutated(rng, TARGETS[target]))


def _draw(give: Callable[[bytes], None], target: str, runs: int, seed: int) -> None:
    """Try files that hypothesis makes."""
    import hypothesis

    from tests.fuzz.strategies import STRATEGIES

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=runs,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(STRATEGIES[target])
    def probe(data: bytes) -> None:
        give(data)

    probe()


def _guide(give: Callable[[bytes], None], target: str, runs: int, seed: int, folder: Path) -> None:
    """Let libFuzzer choose by coverage; it mutates by itself, or as the target's kind asks for."""
    import atheris

    from tests.fuzz.seeds import corpus
    from tests.fuzz.targets import TARGETS

    start = folder / "corpus"
    start.mkdir()
    for number, data in enumerate(corpus(target)):
        (start / f"{number:04d}").write_bytes(data)

    def mutate(data: bytes, longest: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.35:
            return bytes(atheris.Mutate(data, longest))
        return TARGETS[target].mutate(rng, data)[:longest]

    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}", "-len_control=0"]
    arguments = [sys.argv[0], str(start), *options, "-timeout=0", "-rss_limit_mb=0"]
    atheris.Setup(arguments, give, custom_mutator=mutate)
    # libFuzzer ends the process when it is done: the last report is of the last whole step.
    atheris.Fuzz()


def _instrumented() -> contextlib.AbstractContextManager[None]:
    import atheris

    return atheris.instrument_imports(include=INSTRUMENTED)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Leave so much room to what is not traced, such as compiled readers, and let go afterwards.

    What makes the inputs may hold on to many: hypothesis keeps those of the largest packed files.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
