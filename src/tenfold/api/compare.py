"""Compares finished runs, and writes the comparison as tables and charts."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from tenfold.api.data import dataset_of, needs_download, recorded_section
from tenfold.api.runs import RunSource, path_of
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.text import plural
from tenfold.data.types import Split
from tenfold.experiments.compare.compare_runs import compare_runs
from tenfold.experiments.compare.comparison import Comparison
from tenfold.experiments.compare.finished_runs import ComparedRun, read_finished_runs
from tenfold.experiments.compare.shared_images import shared_images
from tenfold.report.plots.comparison_charts import (
    plot_accuracies,
    plot_class_differences,
    plot_overlaid_curves,
)
from tenfold.report.plots.image_grids import ImageSection, plot_sections
from tenfold.report.tables.comparison_tables import CLASS_COLUMNS, PAIR_COLUMNS, distinct, write_rows
from tenfold.report.tables.run_tables import sample_indices

_IMAGES_PER_RUN = 32


def compare(runs: Iterable[RunSource] | RunSource) -> Comparison:
    """Compares finished runs: recipes, accuracies, paired tests, classes.

    Args:
        runs: two or more run folders, or what `train` and `sweep` returned; a sweep or several seeds stand for all
            their finished runs.

    Raises:
        UsageError: when something else is given.
        RunError: when a folder holds no run, a file is damaged, or there are fewer than two finished runs.

    Example:
        >>> result = tenfold.compare(["runs/mlp", "runs/wide"])  # doctest: +SKIP
        >>> result.pairs[0].difference, result.pairs[0].interval, result.pairs[0].p  # doctest: +SKIP
        (0.012, (0.0051, 0.0189), 0.0008)
    """
    is_one = isinstance(runs, str | Path) or hasattr(runs, "path") or not isinstance(runs, Iterable)
    each = cast("Iterable[RunSource]", [runs] if is_one else runs)
    found, warnings = read_finished_runs(path_of(run, "run", "sweep") for run in each)
    return compare_runs(found, warnings)


def write_comparison(comparison: Comparison, folder: Path, progress: Progress | None = None) -> list[str]:
    """Writes a comparison as CSV tables and PNG charts.

    Args:
        comparison: to be written.
        folder: an existing folder.
        progress: receives the progress if images have to be prepared; silent by default.

    Returns:
        A sentence for each chart that could not be drawn.

    Raises:
        StorageError: when a file cannot be written.
    """
    rows, names = comparison.run_rows(), [run.name for run in comparison.runs]
    shown, labels = _labels(comparison)
    classes = [row.to_json() for row in comparison.classes]
    pairs = [pair.to_json() for pair in comparison.pairs]
    differences = [{"key": key, **dict(zip(names, row, strict=True))} for key, row in comparison.differences.items()]
    write_rows(folder / "runs.csv", list(rows[0]), rows)
    write_rows(folder / "pairs.csv", PAIR_COLUMNS, pairs)
    write_rows(folder / "classes.csv", CLASS_COLUMNS, classes)
    write_rows(folder / "differences.csv", ["key", *names], differences)
    plot_accuracies(shown, labels, rows, folder / "accuracy.png")
    plot_overlaid_curves(labels, [run.metrics for run in comparison.runs], folder / "curves.png")
    if classes:
        plot_class_differences(names, labels, classes, folder / "classes.png")
    return _draw_disagreements(comparison, folder / "disagreements.png", progress or SilentProgress())


def _labels(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Returns for each run its name with the settings that differ, and its label in legends."""
    names, labels = [], []
    for run in comparison.runs:
        group = next(group for group in comparison.groups if run.name in group.runs)
        in_name = group.name.startswith(group.runs[0]) or all(part in run.name for part in group.name.split())
        names.append(run.name if in_name else f"{run.name} · {group.name}")
        labels.append(group.name if len(group.runs) > 1 else names[-1])
    return names, labels


def _draw_disagreements(comparison: Comparison, path: Path, progress: Progress) -> list[str]:
    """Draws images that only one of two runs classified correctly; returns why not if they are not available."""
    found = comparison.disagreements
    if found is None or not (found.only_first or found.only_second):
        return []
    first, second = comparison.runs
    try:
        test = _test_split(first, progress)
    except TenfoldError as error:
        return [f"disagreements.png was left out because the test images are missing: {error}"]
    if test is None:
        return ["disagreements.png was left out because the test images are missing or have changed"]
    shared = shared_images(first, second)
    assert shared is not None  # otherwise there would be no disagreements
    of_first = dict(enumerate(first.predicted))
    of_second = {i: second.predicted[j] for i, j in zip(shared.first.tolist(), shared.second.tolist(), strict=True)}
    names = distinct([first.name, second.name], 40)
    sections = [
        _section(names[0], found.only_first, of_second, test, first.true),
        _section(names[1], found.only_second, of_first, test, first.true),
    ]
    plot_sections("Where the two disagree: the true class, and in orange the other run's prediction", sections, path)
    return []


def _section(
    name: str, indices: Sequence[int], guesses: Mapping[int, str], test: Split, true: Sequence[str]
) -> ImageSection:
    """Returns some of the images that only the run `name` classified correctly.

    Args:
        name: of the run.
        indices: of these images in the test split.
        guesses: the wrong predictions of the other run, by index.
        test: the test split.
        true: class of each image of the test split.
    """
    chosen = sorted(indices[i] for i in sample_indices(len(indices), _IMAGES_PER_RUN))
    some = f", {len(chosen)} of them here" if len(chosen) < len(indices) else ""
    heading = f"Only {name} is right: {plural(len(indices), 'image')}{some}"
    return ImageSection(heading, test.images[chosen], [f"{true[i]}\n{guesses[i]}" for i in chosen])


def _test_split(run: ComparedRun, progress: Progress) -> Split | None:
    """Returns the test split of a run, as its network sees it, or None if it is not available or has changed."""
    if needs_download(run.recipe.data):
        return None
    dataset = dataset_of(recorded_section(run.recipe.data, run.path), progress)
    return dataset.without_margin(dataset.test) if dataset.fingerprint == run.fingerprint else None
