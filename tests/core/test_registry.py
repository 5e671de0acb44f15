import pytest

from tenfold.core.errors import ModelError
from tenfold.core.registry import Registry, did_you_mean


@pytest.fixture
def models() -> Registry[object]:
    registry: Registry[object] = Registry("model", ModelError)
    registry.add("tutorial")(1)
    registry.add("mlp")(2)
    return registry


def test_an_entry_is_found_by_its_name(models: Registry[object]) -> None:
    assert models.get("mlp") == 2
    assert "mlp" in models
    assert list(models) == ["tutorial", "mlp"]  # in order of registration


def test_an_unknown_name_gets_a_suggestion(models: Registry[object]) -> None:
    message = r"^unknown model 'tutoral'; did you mean 'tutorial'\? \(known: tutorial, mlp\)$"
    with pytest.raises(ModelError, match=message):
        models.get("tutoral")


def test_a_name_like_no_other_gets_no_suggestion(models: Registry[object]) -> None:
    with pytest.raises(ModelError, match=r"^unknown model 'zzz' \(known"):
        models.get("zzz")


def test_a_name_is_registered_only_once(models: Registry[object]) -> None:
    with pytest.raises(ValueError, match="model 'mlp' is registered twice"):
        models.add("mlp")(3)


def test_a_suggestion_ignores_case() -> None:
    assert did_you_mean("MLP", ["mlp"]) == "; did you mean 'mlp'?"
    assert did_you_mean("mlp", []) == ""
