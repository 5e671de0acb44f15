"""The ways in: what the command line and Python programs call, and so get the same answers from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import ModelError, RunError, UsageError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.types import Dataset, Split
from tenfold.deploy.export import export as export_classifier
from tenfold.deploy.predictor import Predictor
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.progress import Progress, Silent
from tenfold.engine.run import run as run_recipe
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import DataSection, Recipe
from tenfold.report.draw import draw_run
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.classifier import Classifier
from tenfold.runs.folder import RunFolder
from tenfold.runs.plain import load_plain


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        path: of the run folder.
        summary: what its `summary.json` holds.
        evaluation: of the best model on the test split.
    """

    path: Path
    summary: dict[str, Any]
    evaluation: Evaluation

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were classified rightly, in [0, 1]."""
        return self.evaluation.accuracy

    def load(self) -> Predictor:
        """Returns the trained classifier."""
        return load(self.path)


def train(
    recipe: str | Path | Recipe = "quick",
    *,
    data: str | Path | Dataset | None = None,
    model: nn.Module | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Run:
    """Trains a classifier, judges it once on the test pictures and writes a run folder.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`.
        data: what `--data` takes, or a `Dataset`; the recipe's own by default.
        model: a network of your own in the place of the recipe's: float [B, 3, H, W] → logits [B, classes].
        overrides: `"section.key=value"` each.
        name: of the run folder; made of data, recipe, date and time by default.
        runs: folder in which run folders lie.
        resume: a run folder to go on with; then only overrides of `[train]` are taken.
        progress: is told what happens; silent by default.
        command: for the record.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.

    Example:
        >>> run = tenfold.train("quick", data="shapes", overrides=["train.seed=1"])  # doctest: +SKIP
        >>> run.accuracy, run.evaluation.interval  # doctest: +SKIP
        (0.97, (0.964, 0.975))
    """
    progress = progress or Silent()
    if resume is not None:
        return _resume(Path(resume), data, model, overrides, progress)
    chosen = resolve(recipe, overrides) if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    if isinstance(data, str | Path):
        chosen = resolve(chosen, {"data.source": str(data)})
    pictures = data if isinstance(data, Dataset) else dataset_of(chosen.data, progress)
    _tell(pictures, progress)
    chosen = resolve(
        chosen, {"data.source": _source(chosen, pictures), "data.image_size": list(pictures.image_size)}
    )
    make_plan(chosen, pictures)  # a recipe that does not fit its data must not leave a run folder behind
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    folder = RunFolder.create(Path(runs), pictures.name, recipe_name, name)
    durable.write_text(folder.recipe, to_toml(chosen))
    folder.write_environment(command)
    return _finish(chosen, pictures, folder, progress, model, None)


def load(source: str | Path, *, device: str = "auto", model: nn.Module | str | None = None) -> Predictor:
    """Loads a trained classifier.

    Args:
        source: a run folder (its best model), a `.safetensors` model file, or a plain `.pth` state_dict.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        model: the network's name for a plain state_dict; the network itself for one of your own.

    Raises:
        RunError: when a run folder holds no model.
        ModelError: when the file is damaged, foreign, or does not fit `model`.
        DeviceError: when the device is not there.

    Example:
        >>> tenfold.load("runs/cifar10-quick").predict("cat.jpg").label  # doctest: +SKIP
        'cat'
    """
    return Predictor(_classifier(Path(source), device, model))


def evaluate(
    source: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    data_dir: str | None = None,
    split: str = "test",
    device: str = "auto",
    model: nn.Module | str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judges a trained classifier on labelled pictures, prepared as its model file says.

    Args:
        source: see `load`.
        data: what `--data` takes, or a `Dataset`; the pictures that the model was trained with by default.
        data_dir: folder in which a copy of CIFAR lies.
        split: `train`, `val` or `test`.
        device: see `load`.
        model: see `load`.
        progress: is told what happens; silent by default.

    Raises:
        ModelError: when model and data disagree in classes; the message names both.
        DataError: when the pictures cannot be had.
    """
    progress = progress or Silent()
    classifier = _classifier(Path(source), device, model)
    if not isinstance(data, Dataset):
        named = None if data is None else str(data)
        data = dataset_of(_section_for(classifier, Path(source), named, data_dir), progress)
    if split not in data.splits():
        raise UsageError(f"{data.name} has no split '{split}'; expected {', '.join(data.splits())}")
    return classifier.evaluate(_relabelled(data.splits()[split], data, classifier))


def dataset(source: str | Path, *, progress: Progress | None = None, **settings: Any) -> Dataset:
    """Prepares pictures: decoded once, kept in the cache folder.

    Args:
        source: `shapes`, `cifar10`, `cifar100`, `auto`, a folder or an archive of class folders.
        progress: is told what happens; silent by default.
        settings: further keys of a recipe's `[data]`, such as `image_size=64`.

    Raises:
        DataError: when the pictures cannot be had.
        RecipeError: when a setting is unknown or refused.

    Example:
        >>> tenfold.dataset("shapes").classes[:3]  # doctest: +SKIP
        ('circle', 'ring', 'square')
    """
    section = resolve(Recipe(), {"data": {"source": str(source), **settings}}).data
    return dataset_of(section, progress or Silent())


def dataset_from_arrays(
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: Sequence[str],
    *,
    val: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None,
    name: str = "arrays",
) -> Dataset:
    """Makes a dataset of your own arrays.

    Args:
        train: pictures, uint8 [N, H, W, 3], and labels, int64 [N].
        test: the same.
        classes: names, in the order of the labels.
        val: the same as `train`, to select on.
        name: fit for a folder name.

    Raises:
        DataError: when shapes, dtypes or labels do not fit.
    """
    splits = [None if pair is None else Split(*pair) for pair in (train, test, val)]
    assert splits[0] is not None
    assert splits[1] is not None
    return Dataset(
        name, tuple(classes), splits[0], splits[1], splits[2], fingerprint=_digest(splits, classes)
    )


def export(
    source: str | Path, name: str, out: str | Path | None = None, *, model: nn.Module | str | None = None
) -> Path:
    """Writes a trained classifier in another format and returns where.

    Args:
        source: see `load`.
        name: of the format: `pth`, a plain `state_dict`.
        out: path of the new file; the model's name with another ending by default.
        model: see `load`.

    Raises:
        UsageError: when the format is unknown or the file is there already.
    """
    classifier = _classifier(Path(source), "cpu", model)
    return export_classifier(classifier, name, Path(out) if out else Path(f"{Path(source).stem}.{name}"))


def dataset_of(section: DataSection, progress: Progress) -> Dataset:
    """Prepares the pictures that a recipe's `[data]` asks for."""
    wanted = {field.name: getattr(section, field.name) for field in fields(DataRequest)}
    return build_dataset(DataRequest(**wanted), progress.prepare)


def _resume(
    path: Path,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
) -> Run:
    """Goes on with a run, from its newest sound checkpoint."""
    folder = RunFolder.open(path, for_resume=True)
    before = load_recipe(folder.recipe)
    after = extended(before, resolve(before, overrides))
    checkpoint = _newest_checkpoint(folder, progress)
    pictures = data if isinstance(data, Dataset) else dataset_of(after.data, progress)
    if folder.is_finished and checkpoint is not None:
        plan, spent = make_plan(after, pictures), checkpoint.state["seconds"]
        if plan.over(checkpoint.step, lambda: spent):
            progress.message(
                f"{folder.path} is finished already ({after.train.duration}); "
                "to go further, give its new length in all, such as --epochs 6"
            )
            return _read_run(folder)
    if after != before:
        durable.write_text(folder.recipe, to_toml(after))
    return _finish(after, pictures, folder, progress, model, checkpoint)


def _newest_checkpoint(folder: RunFolder, progress: Progress) -> Checkpoint | None:
    """Returns the newest sound checkpoint, or None for a run that died before its first."""
    if not folder.checkpoints.is_dir() or not any(folder.checkpoints.iterdir()):
        progress.message("no checkpoint yet: the run begins anew, from the same seed")
        return None
    checkpoint = load_checkpoint(folder.checkpoints)
    for warning in checkpoint.warnings:
        progress.warn(warning)
    progress.message(f"going on from step {checkpoint.step:,}")
    return checkpoint


def _finish(
    recipe: Recipe,
    pictures: Dataset,
    folder: RunFolder,
    progress: Progress,
    model: nn.Module | None,
    checkpoint: Checkpoint | None,
) -> Run:
    with folder.lock():
        run_recipe(recipe, pictures, folder, progress, model=model, checkpoint=checkpoint)
        draw_run(folder, pictures)
    return _read_run(folder)


def _read_run(folder: RunFolder) -> Run:
    summary = folder.read_summary()
    return Run(folder.path, summary, Evaluation.from_json(summary["evaluation"]))


def _tell(pictures: Dataset, progress: Progress) -> None:
    counts = " · ".join(f"{len(split):,} {name}" for name, split in pictures.splits().items())
    size = "×".join(map(str, pictures.image_size))
    progress.message(f"data: {pictures.name}, {len(pictures.classes)} classes, {counts}, {size}")
    for note in pictures.notes:
        progress.message(note)
    if pictures.skipped:
        first = pictures.skipped[0]
        progress.warn(
            f"{len(pictures.skipped)} file{'s' * (len(pictures.skipped) > 1)} left out, "
            f"the first: {first.path} ({first.reason})"
        )


def _source(recipe: Recipe, pictures: Dataset) -> str:
    """Returns the source that was really used, so that the recipe runs again as it is."""
    return pictures.name if recipe.data.source == "auto" else recipe.data.source


def _classifier(source: Path, device: str, model: nn.Module | str | None) -> Classifier:
    where = choose_device(device)
    if source.suffix in (".pth", ".pt"):
        if not isinstance(model, str):
            raise UsageError(f"{source} says nothing of its network; name it, e.g. --model tutorial")
        return load_plain(source, model, where)
    if isinstance(model, str):
        raise UsageError(f"{source} knows its own network; --model {model} is for plain .pth files only")
    return Classifier.load(_model_file(source), device=where, model=model)


def _model_file(source: Path) -> Path:
    if source.suffix == ".safetensors":
        return source
    folder = RunFolder.open(source)
    found = [file for file in (folder.best, folder.last) if file.is_file()]
    if not found:
        raise RunError(f"{source} holds no model yet; finish the run: tenfold train --resume {source}")
    return found[0]


def _section_for(classifier: Classifier, source: Path, data: str | None, data_dir: str | None) -> DataSection:
    """Returns the `[data]` that prepares pictures as the classifier was trained for.

    Raises:
        UsageError: when nothing says which pictures are meant.
    """
    trained = classifier.recipe.get("data", {})
    if data is None and not trained:
        raise UsageError(f"{source} does not say what it was trained on; name the pictures with --data")
    wanted = {
        **trained,
        "image_size": list(classifier.preprocessing.image_size),
        "fit": classifier.preprocessing.fit,
        **({} if data is None else {"source": data}),
        **({} if data_dir is None else {"data_dir": data_dir}),
    }
    return resolve(Recipe(), {"data": wanted}).data


def _relabelled(split: Split, pictures: Dataset, classifier: Classifier) -> Split:
    """Returns `split` with labels in the classifier's order of classes, matched by name.

    Raises:
        ModelError: when the pictures show a class that the classifier does not know.
    """
    known = {name: i for i, name in enumerate(classifier.classes)}
    foreign = [name for name in pictures.classes if name not in known]
    if foreign:
        raise ModelError(
            f"the data has classes that the model does not know ({', '.join(foreign[:5])}); "
            f"the model knows {', '.join(classifier.classes[:20])}"
        )
    order = np.array([known[name] for name in pictures.classes], np.int64)
    return Split(split.images, order[split.labels], split.paths)


def _digest(splits: Sequence[Split | None], classes: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(classes)).encode())
    for split in splits:
        if split is not None:
            digest.update(np.ascontiguousarray(split.images))
            digest.update(np.ascontiguousarray(split.labels))
    return digest.hexdigest()
