"""Which labeled images a classifier is evaluated on: those of its own run, or others."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tenfold.api.data import dataset_of, recorded_section, request_of
from tenfold.api.fold_evaluation import cross_validation_of
from tenfold.core.disk import expanded
from tenfold.core.errors import DataError, ModelError, RunError, UsageError
from tenfold.core.progress import Progress
from tenfold.core.text import plural
from tenfold.data.build import BUILT_IN
from tenfold.data.evaluation import (
    LabeledImages,
    Scanned,
    built_in_images,
    has_test_images,
    labeled_images,
    scan_source,
    split_of,
)
from tenfold.data.request import DataRequest
from tenfold.data.sources.address import is_address, without_checksum
from tenfold.data.sources.label_files import labels_from
from tenfold.data.types import Dataset, Skipped
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import DataSection, Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.folders import source_places
from tenfold.runs.run_folder import RunFolder

_MAX_CLASSES_NAMED = 20

READING_KEYS = ("labels", "splits", "classes_are_folders")
"""Keys of `[data]` that say how the files of a source are read."""


def images_to_evaluate(
    classifier: Classifier,
    source: Path,
    data: str | None,
    given: Mapping[str, object],
    split: str | None,
    progress: Progress,
) -> LabeledImages | None:
    """Returns the images that `evaluate` asks for, prepared as for the classifier's training.

    None stands for the folds of a cross-validation: its final model was trained on all images of its own data, and no
    split was asked for. The data of its own run has the splits of that run, also where they have been moved. Other data
    is foreign: it is evaluated whole unless it has a test split, and nothing is drawn from it.

    Args:
        classifier: knows image size, fit and class names.
        source: the run folder or model file.
        data: what `--data` names; None for the run's own.
        given: other keys of `[data]` that are given for `data`: `data_dir`, and how its files are read.
        split: `train`, `val`, `test`, `all`, or None.
        progress: receives messages.

    Raises:
        UsageError: when neither `data` nor the model file names a dataset, or there is no such split.
        ModelError: when foreign data has classes that the classifier does not know.
        DataError: when the data is missing or damaged.
    """
    folder = _run_folder(source)
    section = _section(classifier, folder)
    if section is None and data is None:
        raise UsageError(f"{source} does not name its training dataset; name a dataset with --data")
    if data is None and (rules := [key for key in given if key in READING_KEYS]):
        raise UsageError(f"{rules[0]} says how other data is read, but no data was named; name it with --data")
    if given.get("labels") and data is not None:
        given = {**given, "labels": labels_from(str(given["labels"]), expanded(data))}
    if section is not None and (data is None or _same_source(data, section, given, folder)):
        return _split_of_run(_own(section, folder, given, split, progress), folder, split, progress)
    assert data is not None
    request = _foreign_request(section or _prepared_as(classifier, {}), data, given)
    if data in BUILT_IN:
        return built_in_images(request, split, partial(check_known, classifier), progress.prepare)
    scanned = _scanned(request, section, folder, progress)
    if section is not None and folder is not None:
        moved = _moved(scanned, section, folder, data, progress)
        if moved is not None:
            progress.message(f"{data} is the data of the run in a new place")
            return _split_of_run(moved, folder, split, progress)
    if section is not None:
        _warn_of_same_names(scanned, section, folder, data, progress)
    found = labeled_images(scanned, request, split, partial(check_known, classifier), progress.prepare)
    report_left_out(found.notes, found.skipped, progress)
    return found


def request_for(classifier: Classifier, source: Path | None, data: str, given: Mapping[str, object]) -> DataRequest:
    """Returns how a source is prepared for a classifier: with the splits of its run where it is the data of the run.

    Args:
        classifier: knows image size and fit.
        source: the run folder or model file; None for a network that no run trained.
        data: what `--data` names.
        given: other keys of `[data]` that are given for `data`.
    """
    folder = None if source is None else _run_folder(source)
    section = None if source is None else _section(classifier, folder)
    if given.get("labels"):
        given = {**given, "labels": labels_from(str(given["labels"]), expanded(data))}
    if section is not None and _same_source(data, section, given, folder):
        own = section if folder is None else recorded_section(section, folder.path)
        return request_of(own.model_copy(update=dict(given)))
    return _foreign_request(section or _prepared_as(classifier, {}), data, given)


def _scanned(
    request: DataRequest, section: DataSection | None, folder: RunFolder | None, progress: Progress
) -> Scanned:
    """Lists foreign data. Where nothing says how it is read, it is read as the run's data if that works."""
    if section is not None and folder is not None and not any(getattr(request, key) for key in READING_KEYS):
        own = recorded_section(section, folder.path, request.source)
        if any(getattr(own, key) for key in READING_KEYS):
            with suppress(DataError):
                rules = {key: getattr(own, key) for key in READING_KEYS}
                return scan_source(replace(request, **rules), progress.prepare)
    return scan_source(request, progress.prepare)


def _split_of_run(
    dataset: Dataset, folder: RunFolder | None, split: str | None, progress: Progress
) -> LabeledImages | None:
    """Returns a split of the run's own data, or `all`; says where it holds images that the model was trained on."""
    if split is None and not len(dataset.test) and folder is not None and cross_validation_of(folder) is not None:
        return None
    found = split_of(dataset, split or "test")
    if split in ("train", "all"):
        total = sum(map(len, found.parts))
        progress.message(
            f"the model was trained on {len(dataset.train):,} of these {plural(total, 'image')}: "
            "expect a lower accuracy on new ones"
        )
    return found


def _own(
    section: DataSection, folder: RunFolder | None, given: Mapping[str, object], split: str | None, progress: Progress
) -> Dataset:
    """Returns the dataset of the run itself; warns where it has changed since."""
    own = section if folder is None else recorded_section(section, folder.path)
    own = own.model_copy(update=dict(given))
    dataset = dataset_of(own, progress)
    if folder is not None and _fingerprint(folder) not in ("", dataset.fingerprint):
        progress.warn(
            f"{own.source} has changed since the run: these {split or 'test'} images are not those of the run, "
            "and it may have been trained on some of them"
        )
    return dataset


def _section(classifier: Classifier, folder: RunFolder | None) -> DataSection | None:
    """Returns the `[data]` that the classifier was trained with, with its image size; None where it is unknown.

    The recipe of the run folder comes before that of the model file: `--resume --data` changes it for moved data.
    """
    trained = classifier.recipe.get("data", {})
    if trained and folder is not None:
        trained = load_recipe(folder.recipe).data.model_dump()
    return _prepared_as(classifier, trained) if trained else None


def _prepared_as(classifier: Classifier, settings: Mapping[str, Any]) -> DataSection:
    size = {"image_size": list(classifier.preprocessing.image_size), "fit": classifier.preprocessing.fit}
    return resolve(Recipe(), {"data": {**settings, **size}}).data


def _run_folder(source: Path) -> RunFolder | None:
    """Returns the run folder that a model file is in, or None."""
    try:
        return RunFolder.open(source)
    except RunError:
        return None


def _same_source(data: str, section: DataSection, given: Mapping[str, object], folder: RunFolder | None) -> bool:
    """Returns whether `data` names the source of the run, read as it was for the run.

    The run's relative path counts from where the run was.
    """
    if any(value != getattr(section, key) for key, value in given.items() if key in READING_KEYS):
        return False
    if any(source in BUILT_IN or is_address(source) for source in (data, section.source)):
        return without_checksum(data) == without_checksum(section.source)
    places = [expanded(section.source)] if folder is None else source_places(section.source, folder.path)
    return expanded(data).resolve() in [place.resolve() for place in places]


def _fingerprint(folder: RunFolder) -> str:
    """Returns the fingerprint of the data that a finished run was trained on, else ''."""
    summary = folder.read_summary() if folder.is_finished else {}
    return str(summary.get("dataset", {}).get("fingerprint", ""))


def _moved(scanned: Scanned, section: DataSection, folder: RunFolder, data: str, progress: Progress) -> Dataset | None:
    """Returns the dataset of a run from another place, or None if `data` holds other images.

    Names are compared first, so that foreign images are not prepared twice.
    """
    fingerprint, own = _fingerprint(folder), recorded_section(section, folder.path, data)
    if not fingerprint:
        return None
    test_images = {row.path: row.true for row in folder.read_predictions()}
    with suppress(DataError):  # foreign data need not have the groups of the run, nor fit its lists of images
        if has_test_images(scanned, request_of(own), test_images):
            dataset = dataset_of(own, progress)
            return dataset if dataset.fingerprint == fingerprint else None
    return None


def _warn_of_same_names(
    scanned: Scanned, section: DataSection, folder: RunFolder | None, data: str, progress: Progress
) -> None:
    """Warns where foreign data may be a changed copy of the run's: by image names, or by its own name without those."""
    if folder is not None and folder.predictions.is_file():
        tested = {row.path for row in folder.read_predictions()}
        same = len(tested & {entry.path for entry in scanned.layout.entries})
        if same:
            progress.warn(
                f"{same:,} of the {plural(len(tested), 'test image')} of this run are in {data} by name, which is not "
                "the unchanged data of the run; it may have been trained on other images of it"
            )
    elif expanded(section.source).name == expanded(data).resolve().name:
        progress.warn(f"{data} has the name of the data of this model, which may have been trained on these images")


def _foreign_request(section: DataSection, data: str, given: Mapping[str, Any]) -> DataRequest:
    """Returns the request for data that the classifier was not trained on, prepared as in its `[data]`."""
    data_dir = section.data_dir if expanded(section.data_dir).is_dir() else ""
    own = {"source": data, "val_fraction": 0.0, "exclude": "", "relabel": "", "data_dir": data_dir}
    own |= {"group": "", "folds": 0, "fold": 0}
    as_found = {key: DataSection.model_fields[key].default for key in READING_KEYS}
    return replace(request_of(section), **{**own, **as_found, **given})


def report_left_out(notes: Sequence[str], skipped: Sequence[Skipped], progress: Progress) -> None:
    """Reports the notes on some data, and the files that were left out."""
    for note in notes:
        progress.message(note)
    if skipped:
        first = skipped[0]
        progress.warn(f"{plural(len(skipped), 'file')} left out, the first: {first.path} ({first.reason})")


def check_known(classifier: Classifier, classes: tuple[str, ...]) -> None:
    """Raises ModelError when the classifier does not know all of these classes, nor can take their names over."""
    unknown = _unknown(classifier, classes)
    if unknown and not (classifier.names_assumed and len(classes) == len(classifier.classes)):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ModelError(
            f"the data has classes that the model does not know ({', '.join(unknown[:5])}{more}); "
            f"the model knows {', '.join(classifier.classes[:_MAX_CLASSES_NAMED])}"
        )


def with_names_of(classifier: Classifier, classes: tuple[str, ...], progress: Progress) -> Classifier:
    """Returns a classifier that knows these classes. Weights without class names take those of the data, and say so.

    Raises:
        ModelError: see `check_known`.
    """
    check_known(classifier, classes)
    if not _unknown(classifier, classes):
        return classifier
    more = " …" if len(classes) > _MAX_CLASSES_NAMED else ""
    progress.message(
        "the weights name no classes; their outputs are taken for the classes of the data in this order: "
        f"{', '.join(classes[:_MAX_CLASSES_NAMED])}{more}"
    )
    return replace(classifier, classes=classes)


def _unknown(classifier: Classifier, classes: tuple[str, ...]) -> list[str]:
    return [name for name in classes if name not in classifier.classes]
