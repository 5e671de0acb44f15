"""Runs side by side: compared, and written to a folder of tables and charts."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tenfold.api.data import dataset_of, needs_download
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import Progress, Silent
from tenfold.data.types import Split
from tenfold.experiments.compare.compare_runs import compare as compare_runs
from tenfold.experiments.compare.comparison import Comparison
from tenfold.experiments.compare.gather import ComparedRun, gather
from tenfold.report.plots.comparison_charts import (
    plot_accuracies,
    plot_class_differences,
    plot_overlaid_curves,
)
from tenfold.report.plots.image_grids import Section, plot_sections
from tenfold.report.tables.comparison_tables import CLASS_COLUMNS, PAIR_COLUMNS, distinct, write_rows
from tenfold.report.tables.run_tables import sample

_SHOWN = 32


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compares finished runs: recipes, accuracies, paired tests, classes.

    Args:
        runs: run folders, or folders of sweeps and seeds, which stand for all their finished runs; two or more runs.

    Raises:
        RunError: when a folder holds no run, a file is damaged, or fewer than two finished runs are left.

    Example:
        >>> result = tenfold.compare(["runs/mlp", "runs/wide"])  # doctest: +SKIP
        >>> result.pairs[0].difference, result.pairs[0].interval, result.pairs[0].p  # doctest: +SKIP
        (0.012, (0.0051, 0.0189), 0.0008)
    """
    found, warnings = gather([runs] if isinstance(runs, str | Path) else runs)
    return compare_runs(found, warnings)


def write_comparison(comparison: Comparison, folder: Path, progress: Progress | None = None) -> list[str]:
    """Writes the tables as CSV and the charts as PNG.

    Args:
        comparison: to be written.
        folder: exists and is empty.
        progress: is told when pictures have to be prepared; silent by default.

    Returns:
        Why a file that might be expected was not made, a sentence each.

    Raises:
        StorageError: when the disk refuses.
    """
    rows, names = comparison.run_rows(), [run.name for run in comparison.runs]
    shown, labels = _labels(comparison)
    classes = [asdict(row) for row in comparison.classes]
    pairs = [asdict(pair) | {"within_noise": pair.within_noise} for pair in comparison.pairs]
    differences = [{"key": key, **dict(zip(names, row, strict=True))} for key, row in comparison.differences.items()]
    write_rows(folder / "runs.csv", list(rows[0]), rows)
    write_rows(folder / "pairs.csv", PAIR_COLUMNS, pairs)
    write_rows(folder / "classes.csv", CLASS_COLUMNS, classes)
    write_rows(folder / "differences.csv", ["key", *names], differences)
    plot_accuracies(shown, labels, rows, folder / "accuracy.png")
    plot_overlaid_curves(labels, [run.metrics for run in comparison.runs], folder / "curves.png")
    if classes:
        plot_class_differences(names, labels, classes, folder / "classes.png")
    return _draw_disagreements(comparison, folder / "disagreements.png", progress or Silent())


def _labels(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Returns for each run a name with the settings that set it apart, and the name of its line in a legend."""
    shown, labels = [], []
    for run in comparison.runs:
        group = next(group for group in comparison.groups if run.name in group.runs)
        told = group.name.startswith(group.runs[0]) or all(part in run.name for part in group.name.split())
        shown.append(run.name if told else f"{run.name} · {group.name}")
        labels.append(group.name if len(group.runs) > 1 else shown[-1])
    return shown, labels


def _draw_disagreements(comparison: Comparison, path: Path, progress: Progress) -> list[str]:
    """Draws pictures that only one of two runs got right, where they can be had; returns why not otherwise."""
    found = comparison.disagreements
    if found is None or not (found.only_first or found.only_second):
        return []
    first, second = comparison.runs
    try:
        pictures = _test_pictures(first, progress)
    except TenfoldError as error:
        return [f"disagreements.png was left out, for the test pictures are gone: {error}"]
    if pictures is None:
        return ["disagreements.png was left out, for the test pictures are gone or have changed since"]
    names = distinct([first.name, second.name], 40)
    sections = [
        _section(names[0], found.only_first, first, second, pictures),
        _section(names[1], found.only_second, second, first, pictures),
    ]
    plot_sections("Where the two disagree: what it is, and in orange what the other took it for", sections, path)
    return []


def _section(name: str, places: Sequence[int], right: ComparedRun, wrong: ComparedRun, pictures: Split) -> Section:
    """Returns some of the pictures that only `right` recognised."""
    chosen = sorted(places[i] for i in sample(len(places), _SHOWN))
    some = f", {len(chosen)} of them here" if len(chosen) < len(places) else ""
    heading = f"Only {name} is right: {len(places):,} picture{'s' * (len(places) != 1)}{some}"
    return Section(heading, pictures.images[chosen], [f"{wrong.true[i]}\n{wrong.predicted[i]}" for i in chosen])


def _test_pictures(run: ComparedRun, progress: Progress) -> Split | None:
    """Returns the test split that a run was judged on, or None where it is not here any more."""
    if needs_download(run.recipe.data):
        return None
    dataset = dataset_of(run.recipe.data, progress)
    return dataset.test if dataset.fingerprint == run.fingerprint else None
