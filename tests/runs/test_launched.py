"""The runs of a launch, as processes find them that are started again."""

from pathlib import Path

import pytest

from tenfold.core import world
from tenfold.core.world import count_training, launch_id
from tenfold.runs.launched import launched_run, previous_attempt
from tenfold.runs.run_folder import RunFolder


def test_each_training_of_a_script_goes_on_with_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setattr(world, "_num_trainings", 0)
    for name in ("a", "b"):
        count_training()
        assert previous_attempt(tmp_path) is None
        folder = RunFolder.create(tmp_path, "data", "recipe", name)
        folder.recipe.touch()
        folder.write_environment([])

    monkeypatch.setattr(world, "_num_trainings", 0)  # as in processes that are started again
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    found = []
    for _ in range(3):
        count_training()
        found.append(previous_attempt(tmp_path))
    assert found == [tmp_path / "a", tmp_path / "b", None]
    assert launched_run(tmp_path, launch_id()) == tmp_path / "b"
