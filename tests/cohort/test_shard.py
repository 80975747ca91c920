"""Shards part the cases among machines: each case once, whatever the numbering of the tasks."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.cohort.batch.shard import Shard, parse_shard, shard_from_environment, take_shard
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import UsageError


def _cases(names):
    return [Case(name, {"t1": Path(f"{name}.nii")}, name, name) for name in names]


def _environment(task, tasks, *, step=None):
    given = {"ID": task, "COUNT": len(tasks), "MIN": min(tasks), "MAX": max(tasks)}
    given |= {} if step is None else {"STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in given.items()}


def test_a_shard_is_read():
    assert parse_shard("2/10") == parse_shard(" 2 / 10 ") == Shard(2, 10)
    assert str(Shard(2, 10)) == "2/10"


@pytest.mark.parametrize("text", ["0/10", "11/10", "1/0", "a/b", "2", "", "-1/3", "1/2/3", "²/3"])
def test_a_shard_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError, match=r"give I/N with I from 1 to N, such as 1/10") as error:
        parse_shard(text)
    assert error.value.exit_code == 2
    assert "--shard" in str(error.value)


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=4), max_size=30), st.integers(1, 12), st.randoms())
def test_every_case_is_in_one_shard(names, count, random):
    taken = []
    for index in range(1, count + 1):
        shuffled = _cases(names)
        random.shuffle(shuffled)
        part = take_shard(shuffled, Shard(index, count))
        assert abs(len(part) - len(names) / count) < 1
        taken += [case.name for case in part]
    assert sorted(taken) == sorted(names)


@pytest.mark.parametrize(
    "tasks",
    [range(10), range(1, 11), range(5, 24, 2), range(7, 8), range(1), range(0, 100, 25), [3, 7]],
    ids=str,
)
@pytest.mark.parametrize("step", [None, 1])
def test_every_task_of_a_slurm_array_has_its_shard(tasks, step):
    shards = [shard_from_environment(_environment(task, tasks, step=step)) for task in tasks]
    assert shards == [Shard(index + 1, len(tasks)) for index in range(len(tasks))]


def test_a_step_is_taken_where_slurm_tells_no_last_task():
    environment = _environment(9, range(5, 24, 2), step=2)
    del environment["SLURM_ARRAY_TASK_MAX"]
    assert shard_from_environment(environment) == Shard(3, 10)


def test_outside_an_array_there_is_no_shard():
    assert shard_from_environment({"SLURM_JOB_ID": "12"}) is None


@pytest.mark.parametrize(("task", "tasks"), [(2, [1, 2, 7]), (4, [1, 4, 6]), (9, [1, 2])])
def test_tasks_with_uneven_numbers_are_refused(task, tasks):
    with pytest.raises(UsageError, match=r"numbers are uneven; pass --shard I/N"):
        shard_from_environment(_environment(task, tasks))


@pytest.mark.parametrize("what", ["COUNT", "MIN"])
def test_an_array_that_slurm_does_not_describe_is_refused(what):
    environment = _environment(2, range(1, 4))
    del environment[f"SLURM_ARRAY_TASK_{what}"]
    with pytest.raises(UsageError, match=f"{what} is '' and no number; pass --shard I/N"):
        shard_from_environment(environment)


@pytest.mark.parametrize("what", ["ID", "COUNT", "MIN", "MAX"])
@pytest.mark.parametrize("value", ["", "x", "-1"])
def test_numbers_of_slurm_that_are_none_are_refused(what, value):
    environment = _environment(2, range(1, 4)) | {f"SLURM_ARRAY_TASK_{what}": value}
    with pytest.raises(UsageError, match=f"{what} is '{value}' and no number; pass --shard I/N"):
        shard_from_environment(environment)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 20))
def test_evenly_numbered_tasks_part_the_shards(first, step, count):
    tasks = range(first, first + step * count, step)
    shards = {shard_from_environment(_environment(task, tasks)) for task in tasks}
    assert shards == {Shard(index, count) for index in range(1, count + 1)}
