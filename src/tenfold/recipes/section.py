"""What all tables of a recipe have in common: their base class, and the types of their keys."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.data.decode.fit_rule import FITS, parse_fit
from tenfold.recipes.durations import Duration

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
ProperFraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Pixels = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=8, le=1024)]
# TOML has arrays but no tuples, and a strict schema does not convert a list to a tuple.
HeightWidth = Annotated[
    tuple[Side, Side], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]
Length = Annotated[Duration, BeforeValidator(Duration.parse), PlainSerializer(str)]


def _increasing_fractions(value: object) -> object:
    fractions = value if isinstance(value, list | tuple) else ()
    numbers = all(isinstance(fraction, int | float) and not isinstance(fraction, bool) for fraction in fractions)
    if not fractions or not numbers or not all(a < b for a, b in pairwise((0, *fractions, 1))):
        raise ValueError(f"found {repr(value)[:80]}, expected increasing fractions of the run, e.g. [0.5, 0.75]")
    return tuple(map(float, fractions))


IncreasingFractions = Annotated[tuple[float, ...], BeforeValidator(_increasing_fractions)]


def _image_size_schedule(value: object) -> object:
    pairs: Sequence[Any] = value if isinstance(value, list | tuple) else [None]
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"found {repr(value)[:80]}, expected pairs [until, size], e.g. [[0.5, 0.625]]")
    if not pairs:
        return ()
    _increasing_fractions([until for until, _ in pairs])
    return tuple((float(until), _size_fraction(size)) for until, size in pairs)


def _size_fraction(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"found {value!r}, expected a fraction of the image size between 0 and 1")
    return float(value)


ImageSizeSchedule = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_image_size_schedule)]


def _area_range(value: object) -> object:
    numbers = value if isinstance(value, list | tuple) else (None,)
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        numbers = (None,)
    if len(numbers) != 0 and not (len(numbers) == 2 and 0 < numbers[0] <= numbers[1] <= 1):
        raise ValueError(
            f"found {repr(value)[:80]}, expected [min, max], fractions of the area with 0 < min ≤ max ≤ 1, e.g. "
            "[0.35, 1.0], or [] for none"
        )
    return tuple(map(float, numbers))


AreaRange = Annotated[tuple[float, ...], BeforeValidator(_area_range)]


def _class_weights(value: object) -> object:
    if isinstance(value, str) and value in ("none", "balanced", "sqrt"):
        return value
    if isinstance(value, dict) and value and all(map(_is_weight, value.values())):
        return {str(name): float(weight) for name, weight in value.items()}
    raise ValueError(
        f"found {repr(value)[:80]}, expected 'none', 'balanced', 'sqrt', or weights above 0 by class name, e.g. "
        "{cat = 1.0, dog = 2.5}"
    )


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


ClassWeights = Annotated[str | dict[str, float], BeforeValidator(_class_weights)]


def _fit(value: object) -> object:
    if value == "weights":
        return value
    try:
        parse_fit(value if isinstance(value, str) else repr(value)[:80])
    except DataError as error:
        hint = did_you_mean(str(value), FITS)
        raise ValueError(f"{error}, or weights for the rule of pretrained weights{hint}") from None
    return value


FitRule = Annotated[str, BeforeValidator(_fit)]


def _normalization(value: object) -> object:
    if isinstance(value, str) and value in ("half", "data", "weights"):
        return value
    if isinstance(value, dict) and set(value) == {"mean", "std"} and all(map(_is_channels, value.values())):
        numbers = {key: tuple(map(float, value[key])) for key in ("mean", "std")}
        if min(numbers["std"]) > 0:
            return numbers
    hint = did_you_mean(value, ("half", "data", "weights")) if isinstance(value, str) else ""
    raise ValueError(
        f"found {repr(value)[:80]}, expected 'half', 'data', 'weights', or three numbers each, std above 0: "
        f"{{mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5]}}{hint}"
    )


def _is_channels(value: object) -> bool:
    numbers = value if isinstance(value, list | tuple) else ()
    return len(numbers) == 3 and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in numbers
    )


Normalization = Annotated[str | dict[str, tuple[float, float, float]], BeforeValidator(_normalization)]


class Section(BaseModel):
    """A table of a recipe. Unknown keys are errors, and values are not converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)
