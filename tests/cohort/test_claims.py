"""Two runs into one folder never do the same case, and nothing that a dead one held stays held."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strokeseg.cohort.batch import claims as claim
from strokeseg.cohort.batch.claims import FOLDER, Claims, Holder
from strokeseg.errors import CannotCreateError


def held_by(output, key, **changes):
    """Write a claim as another process would have, and give its path."""
    content = vars(Holder.here("other")) | changes
    folder = output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{key}.json").write_text(json.dumps(content))
    return folder / f"{key}.json"


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_a_claim_is_of_one_run_until_it_is_given_up(tmp_path):
    first, second = Claims(tmp_path, "one"), Claims(tmp_path, "two")
    assert first.take("a") is None
    assert second.take("a") == Holder.here("one")
    assert second.take("b") is None
    first.release("a")
    assert second.take("a") is None
    second.close()
    assert first.take("b") is None


def test_the_same_process_does_not_claim_twice(tmp_path):
    claims = Claims(tmp_path, "one")
    assert claims.take("a") is None
    assert claims.take("a") == Holder.here("one")


def test_a_living_process_of_this_machine_keeps_its_claim(tmp_path):
    aged(held_by(tmp_path, "a", pid=os.getppid()), 1800)
    assert Claims(tmp_path, "one").take("a").pid == os.getppid()


def test_what_a_dead_process_of_this_machine_held_is_free(tmp_path):
    held_by(tmp_path, "a", pid=dead_process())
    assert Claims(tmp_path, "one").take("a") is None


def test_a_number_that_another_process_got_does_not_hold_for_ever(tmp_path):
    aged(held_by(tmp_path, "a", pid=os.getppid()), 4000)
    assert Claims(tmp_path, "one").take("a") is None


def test_another_machine_keeps_its_claim_while_it_touches_it(tmp_path):
    path = held_by(tmp_path, "a", host="elsewhere", pid=dead_process())
    assert str(Claims(tmp_path, "one").take("a")).endswith("on elsewhere")
    aged(path, 400)
    assert Claims(tmp_path, "one").take("a") is None


def test_what_a_lost_worker_of_the_same_run_held_is_taken_over(tmp_path):
    held_by(tmp_path, "a", run="one", host="elsewhere")
    assert Claims(tmp_path, "one").take("a") is None


def test_a_claim_that_was_never_written_whole_is_free_after_a_while(tmp_path):
    path = held_by(tmp_path, "a")
    path.write_text("")
    assert str(Claims(tmp_path, "one").take("a")) == "another run"
    aged(path, 40)
    assert Claims(tmp_path, "one").take("a") is None


@pytest.fixture
def passing(monkeypatch):
    """Let time pass: what is added to its one element `time.monotonic` has on top."""
    passed, now = [0.0], time.monotonic
    monkeypatch.setattr(claim.time, "monotonic", lambda: now() + passed[0])
    return passed


@pytest.mark.parametrize("days", [3, -3])
def test_a_clock_that_jumps_takes_no_claim_away_that_is_being_watched(tmp_path, passing, days):
    path = held_by(tmp_path, "a", host="elsewhere")
    claims = Claims(tmp_path, "one")
    assert claims.take("a") is not None
    jumped = 86_400 * days
    for _ in range(20):  # its owner goes on touching it, by whatever clock
        passing[0] += 100
        path.touch()
        aged(path, jumped + passing[0])
        assert claims.take("a") is not None


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"pid": os.getppid()}])
def test_a_claim_of_a_dead_owner_from_the_future_is_free_after_a_while(tmp_path, passing, changes):
    aged(held_by(tmp_path, "a", **changes), -3 * 86_400)
    claims = Claims(tmp_path, "one")
    assert claims.take("a") is not None
    passing[0] += 4000
    assert claims.take("a") is None


def test_a_process_that_has_died_and_was_not_asked_how_holds_nothing(tmp_path):
    if not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc to tell such processes by")
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    held_by(tmp_path, "a", pid=process.pid)
    assert Claims(tmp_path, "one").take("a") is None
    process.stdout.close()
    process.wait()


def test_looking_at_a_claim_leaves_nothing_beside_it(tmp_path):
    path = held_by(tmp_path, "a", host="elsewhere")
    assert Claims(tmp_path, "one").take("a") is not None
    assert list(path.parent.iterdir()) == [path]


def test_a_claim_that_was_taken_over_is_not_given_up_by_its_first_owner(tmp_path):
    claims = Claims(tmp_path, "one")
    claims.take("a")
    path = held_by(tmp_path, "a", pid=os.getppid())
    claims.close()
    assert path.exists()


def test_claims_are_touched_while_they_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "_BEAT_S", 0.01)
    claims = Claims(tmp_path, "one")
    claims.take("a")
    path = aged(tmp_path / FOLDER / "a.json", 1000)
    until = time.monotonic() + 30
    while path.stat().st_mtime < time.time() - 500:
        assert time.monotonic() < until
        time.sleep(0.01)
    claims.close()


def test_a_sweep_leaves_what_is_held_and_takes_what_is_not(tmp_path):
    mine, other = Claims(tmp_path, "one"), Claims(tmp_path, "two")
    held_by(tmp_path, "dead", pid=dead_process())
    other.take("a")
    mine.sweep()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["a.json"]
    other.close()
    mine.sweep()
    assert list(tmp_path.iterdir()) == []
    mine.sweep()


def test_containers_with_process_numbers_of_their_own_are_other_hosts(monkeypatch):
    monkeypatch.setattr(claim.os, "readlink", lambda _: "pid:[1]")
    inside = Holder.here("one")
    monkeypatch.setattr(claim.os, "readlink", lambda _: "pid:[2]")
    assert inside.host != Holder.here("one").host
    assert str(inside) == f"process {os.getpid()} on {platform.node()}"


def test_an_output_that_cannot_be_written_in_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match="cannot write in"):
        Claims(tmp_path / "file", "one").take("a")
