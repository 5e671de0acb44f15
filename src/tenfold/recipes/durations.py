"""Durations in epochs, steps or seconds."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["epochs", "steps", "s"]

_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(epochs?|steps?|s|seconds?|min|minutes?|h|hours?)\s*")
_SECONDS = {"s": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


@dataclass(frozen=True)
class Duration:
    """An amount with a unit: epochs, steps or seconds.

    Example:
        >>> Duration.parse("2 epochs").steps(per_epoch=100)
        200
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: "str | Duration") -> "Duration":
        """Reads `"2 epochs"`, `"500 steps"`, `"60 s"`, `"5 min"` or `"1 h"`.

        Raises:
            ValueError: when the text is not a duration, or the amount is 0 or infinite.
        """
        if isinstance(text, Duration):
            return text
        match = _PATTERN.fullmatch(str(text))
        if not match:
            raise ValueError(f'{text!r} is not a duration; write "2 epochs", "500 steps" or "60 s"')
        amount, word = float(match[1]), match[2]
        singular = word if word == "s" else word.rstrip("s")
        if singular in _SECONDS:
            return cls._positive(amount * _SECONDS[singular], "s", text)
        return cls._positive(amount, "epochs" if singular == "epoch" else "steps", text)

    @classmethod
    def _positive(cls, amount: float, unit: Unit, text: str) -> "Duration":
        if amount <= 0:
            raise ValueError(f"{text!r} is not a positive duration; expected more than 0")
        if not math.isfinite(amount):
            raise ValueError(f"{text!r} is too long")
        if unit == "steps" and amount != int(amount):
            raise ValueError(f"{text!r} is not a whole number of steps")
        return cls(amount, unit)

    def steps(self, per_epoch: int) -> int | None:
        """Returns the number of steps (at least 1), or None for a duration in seconds.

        Args:
            per_epoch: number of steps in an epoch, at least 1.
        """
        if self.unit == "s":
            return None
        if self.unit == "steps":
            return max(1, int(self.amount))
        # 0.07 × 100 is slightly above 7 in floating point and must not become 8.
        return max(1, math.ceil(round(self.amount * per_epoch, 6)))

    def __str__(self) -> str:
        """Returns text that `parse` reads as the same duration."""
        amount = int(self.amount) if self.amount == int(self.amount) else f"{Decimal(repr(self.amount)):f}"
        return f"{amount} {self.unit[:-1] if amount == 1 and self.unit != 's' else self.unit}"
