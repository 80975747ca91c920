"""How cases are handed to Dask workers, on a cluster that is played by hand."""

from collections import Counter

import pytest

from strokeseg.cohort.batch import agenda
from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.cluster import drive as cluster
from strokeseg.cohort.batch.cluster.task import ROOM
from strokeseg.cohort.batch.job import BatchJob, Outcome
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import EngineError
from tests.cohort.cohorts import Heard


class KilledWorker(Exception):  # noqa: N818 - as it is there
    """What Dask calls it."""


class Future:
    def __init__(self, case, address):
        self.case, self.address, self.status, self.end = case, address, "pending", None

    def result(self):
        return self.end

    def exception(self):
        return self.end


class Played:
    """A connection whose tasks end as `play(case, address)` says: an outcome, an error or None."""

    name = "the cluster"

    def __init__(self, play, workers=("one", "two")):
        self.play, self.there = play, workers
        self.client = self
        self.open, self.handed, self.most = [], [], Counter()

    def subscribe_topic(self, _topic, handler):
        self.tell = handler

    def workers(self):
        return self.there

    def check(self):
        """It is there."""

    def submit(self, _function, _job, case, *, workers, **_named):
        future = Future(case, workers[0] if workers else None)
        self.open.append(future)
        self.handed.append((case.name, future.address))
        used = Counter(f.address for f in self.open)
        self.most |= used
        return future

    def wait(self, futures, _seconds, *, first):
        assert first
        if not futures:
            return
        future = self.open.pop(0)
        future.end = self.play(future.case.name, future.address)
        future.status = {Outcome: "finished", type(None): "lost"}.get(type(future.end), "error")


@pytest.fixture
def drive(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_GLANCE_S", 0.0)
    monkeypatch.setattr(cluster, "_REFRESH_S", 0.0)

    def make(played, count=4):
        heard = Heard()
        cases = [Case(f"s{n + 1}", {}, f"s{n + 1}", f"s{n + 1}") for n in range(count)]
        job = BatchJob(tmp_path / "out")
        return cluster._Drive(played, CaseQueue(cases, heard), job, heard).outcomes(), heard

    return make


def done(case, _address=None):
    return Outcome(case, "done")


def by_case(outcomes):
    found = {outcome.case: outcome.status for outcome in outcomes}
    return dict(sorted(found.items()))


def test_every_worker_has_as_much_as_it_has_room_for(drive):
    played = Played(done)
    outcomes, _ = drive(played, 7)
    assert by_case(outcomes) == {f"s{n + 1}": "done" for n in range(7)}
    assert played.most == {"one": ROOM, "two": ROOM}
    assert len(played.handed) == 7


def test_a_cluster_without_workers_is_shown_one_case_so_that_it_starts_some(drive):
    played = Played(done, ())

    def play(case, address):
        played.there = ("one",)
        return done(case, address)

    played.play = play
    outcomes, heard = drive(played, 3)
    assert set(by_case(outcomes).values()) == {"done"}
    assert heard.notices == ["waiting for workers of the cluster"]
    assert played.handed[0] == ("s1", None)
    assert {address for _, address in played.handed[1:]} == {"one"}


def test_a_case_that_workers_die_of_is_done_once_more_alone(drive):
    kills = ["s2"]

    def play(case, address):
        return KilledWorker() if case in kills and not kills.remove(case) else done(case, address)

    played = Played(play, ("one",))
    outcomes, heard = drive(played)
    assert set(by_case(outcomes).values()) == {"done"}
    assert "s2: several workers died while at it; once more, alone" in heard.notices
    assert [name for name, _ in played.handed].count("s2") == 2


def test_a_case_that_kills_every_worker_fails_alone(drive, tmp_path):
    outcomes, _ = drive(Played(lambda c, a: KilledWorker() if c == "s2" else done(c, a)))
    assert by_case(outcomes) == {"s1": "done", "s2": "failed", "s3": "done", "s4": "done"}
    assert "every worker" in (tmp_path / "out" / "s2" / "s2_error.json").read_text()


def test_a_worker_that_is_fit_for_nothing_gets_no_more_cases(drive):
    def play(case, address):
        return EngineError("no engine is installed") if address == "one" else done(case, address)

    played = Played(play)
    outcomes, heard = drive(played, 6)
    assert set(by_case(outcomes).values()) == {"done"}
    assert "worker one gets no more cases: no engine is installed" in heard.notices
    assert Counter(address for _, address in played.handed)["one"] <= ROOM


def test_workers_that_are_all_fit_for_nothing_end_the_batch(drive):
    outcomes, _ = drive(Played(lambda _c, _a: ImportError("No module named 'strokeseg'")))
    with pytest.raises(EngineError, match=r"worker one: ImportError.*has to be installed"):
        list(outcomes)


def test_a_task_that_gets_lost_is_handed_out_again_but_not_for_ever(drive):
    losses = ["s1", "s3"]

    def play(case, address):
        return None if case in losses and not losses.remove(case) else done(case, address)

    outcomes, _ = drive(Played(play))
    assert set(by_case(outcomes).values()) == {"done"}
    outcomes, _ = drive(Played(lambda _c, _a: None))
    with pytest.raises(EngineError, match="loses s1 again and again"):
        list(outcomes)


def test_a_busy_case_comes_back_later(drive, monkeypatch):
    monkeypatch.setattr(agenda, "_PAUSE_S", 0.01)
    busy = ["s1"]

    def play(case, address):
        if case in busy:
            busy.remove(case)
            return Outcome(case, "busy", "process 7 on host is at it")
        return done(case, address)

    outcomes, heard = drive(Played(play))
    names = [outcome.case for outcome in outcomes]
    assert sorted(names) == ["s1", "s2", "s3", "s4"]
    assert names[-1] == "s1"
    assert heard.notices == ["s1: process 7 on host is at it; looking again later"]


def test_stages_that_workers_tell_of_are_passed_on(drive):
    played = Played(done)
    outcomes, heard = drive(played)
    played.tell((0.0, ["s1", "segment flair"]))
    played.tell((0.0, "something else"))
    list(outcomes)
    assert heard.stages == [("s1", "segment flair")]
