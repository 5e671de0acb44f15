"""A value of a recipe that a run did not use as given, as messages, `summary.json` and pages tell it."""

from dataclasses import dataclass
from typing import Any

RESUMED = "the run was resumed with it"
"""Start of the reason of a change that a resume brought: whoever resumed asked for it."""


@dataclass(frozen=True)
class Change:
    """A value that was not used as given.

    Args:
        key: dotted key of the recipe.
        asked: its value, a plain number or text.
        used: the value used instead.
        reason: in words.
    """

    key: str
    asked: float | str
    used: float | str
    reason: str

    @property
    def is_of_resume(self) -> bool:
        """Whether the value was used as given first, until a resume changed it."""
        return self.reason.startswith(RESUMED)

    def __str__(self) -> str:
        """Returns one line for the user.

        Example:
            >>> str(Change("train.batch_size", 1000, 36, "an epoch has at least four batches"))
            'batch size: 36 instead of 1,000, because an epoch has at least four batches'
        """
        name = "length" if self.key == "train.duration" else self.key.partition(".")[2].replace("_", " ")
        return f"{name}: {_text(self.used)} instead of {_text(self.asked)}, because {self.reason}"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
