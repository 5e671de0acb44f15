"""The place of a process among those that train together."""

import os

import pytest

from tenfold.core.errors import UsageError
from tenfold.core.world import ALONE, LAUNCH_ID, World, current_world, launch_id, leave_world, without_world

_TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}


def test_a_process_without_launcher_is_alone():
    assert current_world({}) == current_world({"RANK": "0", "WORLD_SIZE": "1"}) == ALONE
    assert ALONE.is_main
    assert not ALONE.is_several


def test_the_launchers_variables_name_the_place():
    world = current_world(_TORCHRUN)
    assert world == World(3, 4, 1, 2)
    assert world.is_several
    assert not world.is_main


def test_a_machine_has_one_process_where_nothing_else_is_said():
    assert current_world({"RANK": "1", "WORLD_SIZE": "2"}) == World(1, 2, 0, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"RANK": "two"}, "RANK is 'two'; expected a whole number"),
        ({"RANK": "4"}, "RANK=4, WORLD_SIZE=4.*expected RANK below WORLD_SIZE"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK below LOCAL_WORLD_SIZE"),
    ],
)
def test_variables_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(UsageError, match=message):
        current_world(_TORCHRUN | changed)


def test_a_missing_rank_is_refused():
    with pytest.raises(UsageError, match="RANK is missing"):
        current_world({"WORLD_SIZE": "4"})


def test_a_launch_with_the_name_of_an_earlier_one_is_another(monkeypatch):
    first = launch_id(_TORCHRUN)
    assert launch_id(_TORCHRUN) == first
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert launch_id(_TORCHRUN) != first
    assert launch_id(_TORCHRUN | {LAUNCH_ID: "own"}) == "own"
    assert launch_id({}) is None


def test_a_child_can_leave_the_world_of_its_parent(monkeypatch):
    assert without_world(_TORCHRUN | {"HOME": "/root"}) == {"HOME": "/root"}
    for name, value in _TORCHRUN.items():
        monkeypatch.setenv(name, value)
    leave_world()
    assert current_world() == ALONE
    assert "TORCHELASTIC_RUN_ID" not in os.environ
