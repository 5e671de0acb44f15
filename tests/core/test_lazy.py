import pytest

from tenfold.core.lazy import importing


def test_a_name_comes_from_its_module_when_it_is_asked_for() -> None:
    get = importing("package", {"math": ("pi", "sqrt as root"), "no.such.module": ("never",)})
    assert get("pi") == pytest.approx(3.14159, abs=1e-5)
    assert get("root")(16) == 4
    with pytest.raises(ModuleNotFoundError):
        get("never")


@pytest.mark.parametrize("name", ["sqrt", "other"])
def test_other_names_are_refused_as_python_does(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'package' has no attribute '{name}'"):
        importing("package", {"math": ("sqrt as root",)})(name)
