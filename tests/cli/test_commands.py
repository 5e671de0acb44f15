"""Each command: how it calls `tenfold.api`, what it prints, what it refuses."""

import csv
import json
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.images import png
from tenfold.cli.main import main
from tenfold.core.errors import DataError, UsageError
from tenfold.data.decode.image_paths import find_images
from tenfold.data.store.feature_cache import FeatureCache
from tenfold.deploy.predictor import Prediction
from tenfold.models.build import default_arguments
from tenfold.recipes.load import load_recipe, recipe_names


def only_call_keywords(fake_api: Any) -> dict[str, Any]:
    """Returns the keyword arguments of the only call."""
    ((_, _, keywords),) = fake_api.calls
    return dict(keywords)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Returns a folder with images 1, 2 and 10, one in a subfolder, and files that are not predicted."""
    folder = tmp_path / "images"
    for name in ("10.png", "2.png", "1.JPG", "below/3.webp", ".hidden.png", ".git/4.png", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_train_without_flags_lets_the_images_choose(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    ((_, (recipe,), keywords),) = fake_api.calls
    assert recipe == "auto"
    assert (keywords["data"], keywords["overrides"], keywords["resume"]) == (None, [], None)
    printed = capsys.readouterr().out
    assert "accuracy 66.7 % (95 % interval 20.8–93.9 %) on 3 test images" in printed
    assert "GroundTruth:  cat cat" in printed
    assert f"try it: tenfold predict {fake_api.run} IMAGE" in printed


def test_train_with_auto_checks_settings_before_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "missing", "--set", "optim.lerning_rate=1"]) == 1
    assert "--set: unknown key 'optim.lerning_rate'" in capsys.readouterr().err


def test_the_command_to_try_quotes_a_name_with_a_space(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake_api.run = fake_api.run.rename(fake_api.run.with_name("runs well"))
    assert main(["train"]) == 0
    assert f"try it: tenfold predict '{fake_api.run}' IMAGE" in capsys.readouterr().out


def test_train_flags_become_recipe_keys_and_override_set(fake_api: Any, tmp_path: Path) -> None:
    flags = "-r mlp -d shapes --epochs 6 --batch-size 32 --lr 0.05 --seed 3 --device cpu --data-dir here"
    assert main(["train", *flags.split(), "--set", "optim.lr=9", "--name", "mine", "--runs", "there"]) == 0
    keywords = only_call_keywords(fake_api)
    recipe = load_recipe("mlp", keywords["overrides"])
    assert str(recipe.train.duration) == "6 epochs"
    assert (recipe.train.batch_size, recipe.optim.lr, recipe.train.seed) == (32, 0.05, 3)
    assert (recipe.train.device, recipe.data.data_dir) == ("cpu", "here")
    assert (keywords["data"], keywords["name"], keywords["runs"]) == ("shapes", "mine", Path("there"))


@pytest.mark.parametrize(("text", "duration"), [("0.5", "0.5 epochs"), ("1e-3", "0.001 epochs"), ("1", "1 epoch")])
def test_epochs_may_be_fractions(text: str, duration: str, fake_api: Any) -> None:
    assert main(["train", "--epochs", text]) == 0
    assert only_call_keywords(fake_api)["overrides"] == [f"train.duration={duration}"]


def test_target_budget_and_start_time_are_passed_on(fake_api: Any) -> None:
    before = perf_counter()
    assert main(["train", "--target", "0.9", "--budget", "2 min"]) == 0
    keywords = only_call_keywords(fake_api)
    assert keywords["overrides"] == ["train.target=0.9"]
    assert keywords["budget"] == "2 min"
    assert keywords["started"] < before


@pytest.mark.parametrize("target", ["0", "90", "-0.5", "nan", "1"])
def test_a_target_is_a_fraction(target: str, fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--target", target]) == 2
    assert "expected a fraction between 0 and 1, e.g. 0.9 for 90 %" in capsys.readouterr().err
    assert fake_api.calls == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget", "60"], "--budget is '60'; expected a time, e.g. 60s or '2 min'"),
        (
            ["--budget", "60s", "--epochs", "3"],
            "--budget and --epochs were both given; --budget plans the training length",
        ),
        (["--budget", "60s", "--seeds", "3"], "--budget and --seeds were both given; --budget plans a single run"),
    ],
)
def test_a_bad_budget_is_refused(
    flags: list[str], message: str, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags]) == 2
    assert message in capsys.readouterr().err
    assert fake_api.calls == []


def test_a_wrong_key_is_found_before_any_work(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--set", "optim.lrr=1"]) == 1
    assert "unknown key 'optim.lrr'; did you mean 'lr'?" in capsys.readouterr().err
    assert fake_api.calls == []


def test_resume_takes_epochs_device_and_train_keys(fake_api: Any) -> None:
    flags = ["--epochs", "6", "--device", "cpu", "--set", "train.log_every=5"]
    assert main(["train", "--resume", str(fake_api.run), *flags]) == 0
    keywords = only_call_keywords(fake_api)
    assert keywords["resume"] == fake_api.run
    assert keywords["overrides"] == ["train.log_every=5", "train.duration=6 epochs", "train.device=cpu"]


def test_resume_takes_moved_data_and_a_lower_rate(fake_api: Any) -> None:
    flags = ["--data", "moved", "--lr", "0.01", "--set", "optim.warmup=0.1"]
    assert main(["train", "--resume", str(fake_api.run), *flags]) == 0
    keywords = only_call_keywords(fake_api)
    assert (keywords["data"], keywords["overrides"]) == ("moved", ["optim.warmup=0.1", "optim.lr=0.01"])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--batch-size", "1"], "--batch-size"),
        (["--exclude", "list.csv", "--seed", "1"], "--exclude, --seed"),
        (["--set", "optim.momentum=0.5", "--set", "train.threads=1"], "--set optim.momentum=0.5"),
        (["--recipe", "mlp", "--name", "x", "--runs", "y"], "--recipe, --name, --runs"),
        (["--budget", "60s"], "--budget"),
    ],
)
def test_resume_refuses_flags_that_would_change_the_run(
    flags: list[str], named: str, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", str(fake_api.run), *flags]) == 2
    error = capsys.readouterr().err
    assert f"error: {named} cannot be changed for a run that is resumed" in error
    assert "--processes with its --max-restarts" in error
    assert fake_api.calls == []


def test_sweep_passes_on_the_short_flags_of_train(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "tenfold.api.sweep.sweep", lambda recipe, **keywords: calls.append({"recipe": recipe, **keywords})
    )
    monkeypatch.setattr("tenfold.cli.commands.sweep.print_results", lambda result: None)
    flags = (
        "--epochs 2 --batch-size 8 --lr 0.1 --device cpu --target 0.9 --exclude a.csv --relabel b.csv --data-dir here"
    )
    assert main(["sweep", "shapes", "--vary", "model.hidden=[4],[8]", *flags.split(), "--no-report"]) == 0
    (call,) = calls
    assert (call["recipe"], call["data"], call["report"]) == ("auto", "shapes", False)
    assert call["overrides"] == [
        "data.data_dir=here", "data.exclude=a.csv", "data.relabel=b.csv", "train.duration=2 epochs",
        "train.batch_size=8", "optim.lr=0.1", "train.device=cpu", "train.target=0.9",
    ]  # fmt: skip


def test_sweep_refuses_other_flags_beside_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--resume", "runs/x", "--epochs", "2", "--no-report"]) == 2
    assert "--epochs, --no-report cannot be changed for a run that is resumed" in capsys.readouterr().err


def test_eval_prints_accuracy_classes_and_confusions(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "runs/x", "--data", "shapes", "--split", "train", "--device", "cpu"]) == 0
    keywords = only_call_keywords(fake_api)
    assert (keywords["data"], keywords["split"], keywords["device"]) == ("shapes", "train", "cpu")
    printed = capsys.readouterr().out
    assert "on 3 train images" in printed
    assert "cat predicted as dog: 1 of 2" in printed


def test_eval_and_predict_pass_on_the_views(fake_api: Any, photos: Path) -> None:
    assert main(["eval", "runs/x", "--views", "shifts"]) == 0
    assert main(["predict", "run", str(photos / "2.png"), "--views", "mirror"]) == 0
    assert main(["predict", "run", str(photos / "2.png")]) == 0
    assert [keywords["views"] for _, _, keywords in fake_api.calls] == ["shifts", "mirror", None]


def test_unknown_views_are_a_usage_error(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "runs/x", "--views", "six"]) == 2
    assert "'six'" in capsys.readouterr().err
    assert fake_api.calls == []


def test_val_is_another_name_for_eval(fake_api: Any) -> None:
    assert main(["val", "runs/x"]) == 0
    assert fake_api.calls[0][0] == "evaluate"


def test_eval_as_json_can_be_read_back(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "runs/x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval"], "no classifier was given"),
        (["eval", "x", "--weights", "y.pth", "--model", "tutorial"], "both x and --weights y.pth were given"),
        (["eval", "--weights", "y.pth"], "does not name its network; add --model, e.g. --model tutorial"),
        (["predict", "cat.jpg", "--weights", "y.pth"], "does not name its network; add --model"),
        (["predict", "run.safetensors", "--weights", "y.pth"], "both run.safetensors and --weights y.pth were given"),
        (["predict", "run"], "no images were given; expected files, folders or quoted patterns"),
        (["predict", "run", "x.png", "--json", "--csv", "-"], "--json and --csv both print; expected a file"),
        (["data", "delete"], "expected either the name of a prepared copy or --all"),
        (["data", "delete", "x", "--all"], "expected either the name of a prepared copy or --all"),
    ],
)
def test_contradicting_flags_are_refused(
    arguments: list[str], message: str, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert fake_api.calls == []


def test_plain_weights_replace_the_model(fake_api: Any, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = photos.parent / "net.pth"
    command = ["predict", "--weights", str(weights), "--model", "tutorial", str(photos / "2.png")]
    assert main(command) == 0
    ((_, (source,), keywords),) = fake_api.calls
    assert (source, keywords["model"]) == (weights, "tutorial")
    assert "holds weights only" not in capsys.readouterr().err  # of a file that is missing nothing is said
    weights.touch()
    assert main(command) == 0
    assert "net.pth holds weights only: images are brought to 32×32 and normalized by" in capsys.readouterr().err


def test_predict_prints_a_line_for_each_image(fake_api: Any, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "run", str(photos)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "images/" in line]
    assert [(Path(line[0]).name, *line[1:]) for line in lines] == [
        (name, "cat", "75.0", "%") for name in ("1.JPG", "2.png", "10.png", "3.webp")
    ]


def test_an_unknown_split_is_refused_in_plain_words_that_the_help_has_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "--split", "bogus"]) == 2
    assert "invalid value for '--split': 'bogus' is not one of 'train', 'val', 'test', 'all'" in capsys.readouterr().err
    assert main(["eval", "--help"]) == 0
    assert "all for every image" in " ".join(capsys.readouterr().out.split())


def test_an_unreadable_image_is_reported_and_the_others_predicted(
    fake_api: Any, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "run", "gone.png", str(photos / "2.png")]) == 1
    captured = capsys.readouterr()
    assert "2.png" in captured.out
    assert captured.err.splitlines() == [
        "tenfold: error: gone.png: there is no such file",
        "1 of 2 images could not be read",
    ]


def test_predict_json_has_every_probability(fake_api: Any, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "run", str(photos / "2.png"), "gone.png", "--json"]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert good == {
        "path": str(photos / "2.png"),
        "label": "cat",
        "probability": 0.75,
        "probabilities": {"cat": 0.75, "dog": 0.25},
        "raw_probability": 0.5,
        "calibrated": True,
    }
    assert "calibrated" not in bad
    assert (bad["label"], bad["probability"]) == (None, None)
    assert (bad["error"], bad["probabilities"]) == ("gone.png: there is no such file", {})


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "the model has no temperature; validation images give one to the best"),
        (["--json"], "the model has no temperature; validation"),
        (["--csv", "--views", "plain"], "a temperature belongs to the views as trained; leave --views out"),
    ],
)
def test_predict_says_once_that_probabilities_are_not_calibrated(
    flags: list[str],
    reason: str,
    fake_api: Any,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["predict", "run", str(photos), *flags]) == 0
    assert "calibrated" not in capsys.readouterr().err
    fake_api.calibrated = False
    assert main(["predict", "run", str(photos), *flags]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("not calibrated") == 1
    assert f"probabilities are not calibrated: {reason}" in captured.err
    assert "not calibrated" not in captured.out


def test_images_very_unlike_the_training_images_are_named_in_one_line(
    fake_api: Any, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = [
        Prediction(f"{n}.png", "cat", 0.9, {"cat": 0.9}, calibrated=True, warning="4×3, trained") for n in range(2)
    ]
    usual = Prediction("2.png", "cat", 0.9, {"cat": 0.9}, calibrated=True)
    predictor = SimpleNamespace(predict_all=lambda paths: [*warned, usual])
    monkeypatch.setattr("tenfold.api.evaluate.load", lambda *args, **keywords: predictor)
    assert main(["predict", "run", str(photos), "--json"]) == 0
    shown = capsys.readouterr()
    line = "2 of 3 images are very unlike the training images in size or shape: 0.png (4×3, trained)"
    assert shown.err.count("unlike") == shown.err.count(line) == 1
    assert [each.get("warning") for each in json.loads(shown.out)] == ["4×3, trained", "4×3, trained", None]


def test_predict_csv_has_columns_for_the_top_classes(
    fake_api: Any, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "labels.csv"
    assert main(["predict", "run", str(photos / "2.png"), "gone.png", "--csv", str(target), "--top", "3"]) == 1
    with target.open(newline="", encoding="utf-8") as file:
        good, bad = csv.DictReader(file)
    assert (good["label"], good["probability"], good["label_2"], good["label_3"]) == ("cat", "0.750000", "dog", "")
    assert (bad["label"], bad["error"]) == ("", "gone.png: there is no such file")
    assert capsys.readouterr().out == ""


def test_predict_does_not_overwrite_a_file(
    fake_api: Any, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "labels.csv"
    target.write_text("mine")
    assert main(["predict", "run", str(photos), "--csv", str(target)]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert target.read_text() == "mine"


def test_predict_refuses_a_run_beside_weights(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(fake_api.run), "--weights", "x.pth", "--model", "tutorial", "a.png"]) == 2
    assert f"both {fake_api.run} and --weights x.pth were given; expected one of them" in capsys.readouterr().err


def test_predict_counts_and_names_the_files_that_it_skips(
    fake_api: Any, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "run", str(photos)]) == 0
    assert capsys.readouterr().err.splitlines() == ["1 other file skipped: notes.txt"]
    for name in ("a.pdf", "10.csv", "2.csv"):
        (photos / name).write_bytes(b"")
    assert main(["predict", "run", str(photos), str(photos / "2.csv")]) == 0  # a file given by name is predicted
    assert capsys.readouterr().err.splitlines() == ["3 other files skipped: 10.csv, a.pdf, notes.txt"]
    assert main(["predict", "run", f"{photos}/*"]) == 0
    assert capsys.readouterr().err.splitlines() == ["4 other files skipped: 2.csv, 10.csv, a.pdf, …"]


def test_folders_and_patterns_stand_for_their_images(photos: Path) -> None:
    def names(*given: str) -> list[str]:
        return [path.relative_to(photos).as_posix() for path in find_images(given).images]

    assert names(str(photos)) == ["1.JPG", "2.png", "10.png", "below/3.webp"]
    assert names(f"{photos}/*.png") == ["2.png", "10.png"]
    assert names(f"{photos}/**/*.webp") == ["below/3.webp"]
    assert names(str(photos / "10.png"), str(photos)) == ["10.png", "1.JPG", "2.png", "below/3.webp"]
    assert names(str(photos / "notes.txt")) == ["notes.txt"]


def test_links_to_folders_are_not_followed(photos: Path) -> None:
    (photos / "below" / "loop").symlink_to(photos, target_is_directory=True)
    assert len(find_images([str(photos)]).images) == 4


def test_files_without_a_suffix_are_predicted_if_they_start_as_images_do(photos: Path) -> None:
    (photos / "photo").write_bytes(png())
    (photos / "README").write_bytes(b"Photos of cats.")
    found = find_images([str(photos)])
    assert photos / "photo" in found.images
    assert [path.name for path in found.skipped] == ["README", "notes.txt"]


def test_names_without_images_are_refused_with_the_formats(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no images; expected JPEG, PNG, .* or HEIC files"):
        find_images([str(tmp_path)])
    with pytest.raises(DataError, match=r"no image matches .*\*\.png; expected JPEG, PNG"):
        find_images([f"{tmp_path}/*.png"])
    with pytest.raises(UsageError, match="no images were given"):
        find_images([])


@pytest.mark.parametrize(
    ("more", "count", "labels"),
    [((), 10, [8, 2]), (("--augmented", "--set", "data.augment.shift=8"), 2, [1, 1])],
)
def test_show_draws_a_png_and_prints_its_labels(
    more: tuple[str, ...],
    count: int,
    labels: list[int],
    fake_api: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "preview.png"
    assert main(["show", "shapes", "--count", str(count), "--out", str(target), *more]) == 0
    captured = capsys.readouterr()
    assert [len(line.split()) for line in captured.out.splitlines()] == labels
    assert captured.err.splitlines()[-1] == f"wrote {target}: {count} of 60 images"
    with Image.open(target) as image:
        assert image.width > 300


def test_show_overwrites_only_when_forced(fake_api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.png"
    target.write_text("mine")
    assert main(["show", "shapes", "--out", str(target)]) == 2
    assert "exists and is not overwritten; choose another file for --output, or add --force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main(["show", "shapes", "--out", str(target), "--force"]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", ["jpg", "JPEG"])
def test_show_writes_jpeg_under_a_jpeg_name(ending: str, fake_api: Any, tmp_path: Path) -> None:
    target = tmp_path / f"x.{ending}"
    assert main(["show", "shapes", "--count", "2", "--out", str(target)]) == 0
    with Image.open(target) as image:
        assert image.format == "JPEG"


def test_show_refuses_other_endings_before_it_reads_data(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "shapes", "--out", "x.gif"]) == 2
    assert "--output is x.gif; expected a name that ends in .png, .jpg, .jpeg" in capsys.readouterr().err
    assert fake_api.calls == []


def test_show_reports_wrong_data_before_an_existing_output(
    fake_api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("preview.png").write_text("mine")
    fake_api.raises = DataError("nowhere does not exist")
    assert main(["show", "nowhere"]) == 1
    assert capsys.readouterr().err == "tenfold: error: nowhere does not exist\n"


def test_show_lists_the_splits_for_an_unknown_one(
    fake_api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "shapes", "--split", "val", "--out", str(tmp_path / "x.png")]) == 2
    assert "shapes has no split 'val'; expected train, test" in capsys.readouterr().err


def test_summary_adds_up_the_tutorials_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "tutorial"]) == 0
    printed = capsys.readouterr().out
    assert "6 × 28 × 28" in printed
    assert "62,006" in printed
    assert "651,720" in printed


def test_summary_takes_another_image_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "tutorial", "--set", "data.image_size=[48,64]", "--classes", "3"]) == 0
    printed = capsys.readouterr().out
    assert "for an image of 3 × 48 × 64" in printed


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in recipe_names())
    assert "timm:NAME is a recipe too, for any network of timm (pip install -e '.[timm]')" in printed


def test_auto_is_listed_first_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows[2][0] == "auto"
    assert main(["recipes", "auto"]) == 0
    explained = capsys.readouterr().out
    assert explained.startswith("The default: quick for images of up to 64 pixels, photo for larger ones.\n")
    assert "--recipe photo" in explained


@pytest.mark.parametrize("command", ["train", "sweep", "recipes"])
def test_the_help_mentions_timm_networks(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "timm:NAME" in capsys.readouterr().out


@pytest.mark.parametrize("name", recipe_names())
def test_a_printed_recipe_is_complete_and_loads_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", name]) == 0
    file = tmp_path / "mine.toml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert file.read_text(encoding="utf-8").startswith("# ")
    printed, shipped = load_recipe(file), load_recipe(name)
    arguments = default_arguments(shipped.model.name)
    known = {key: value for key, value in arguments.items() if value is not None}
    model = {**shipped.model.model_dump(), **known, **shipped.model.arguments}
    assert printed.model_dump() == {**shipped.model_dump(), "model": json.loads(json.dumps(model))}


def test_export_passes_on_format_and_path(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "runs/x", "--format", "pth", "--out", "net.pth"]) == 0
    assert fake_api.calls == [("export", (Path("runs/x"), "pth", Path("net.pth")), {"force": False})]
    assert capsys.readouterr().err.startswith("wrote fake.pth: the weights only; image size, ")


def test_data_get_takes_data_keys(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "shapes", "--set", "data.fit=pad", "--data-dir", "here"]) == 0
    ((_, (section, _), _),) = fake_api.calls
    assert (section.source, section.fit, section.data_dir) == ("shapes", "pad", "here")
    assert capsys.readouterr().out == "shapes: 60 train, 20 test images of 32×32 in 10 classes\n"


def test_prepared_copies_are_listed_verified_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))

    def data(*arguments: str) -> tuple[int, str]:
        code = main(["data", *arguments])
        return code, "".join(capsys.readouterr())

    assert data("where") == (0, f"{tmp_path / 'cache'}\n")
    assert "no images are prepared" in data()[1]
    assert data("get", "shapes")[0] == 0
    code, listed = data()
    assert code == 0
    assert "24,000" in listed
    assert "every file is as it was written" in data("verify", "shapes")[1]

    (file,) = (tmp_path / "cache").glob("stores/*/test-images.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    code, verdict = data("verify", "shapes")
    assert code == 1
    assert "test-images.npy" in verdict
    assert "is damaged; delete it with: tenfold data delete shapes" in verdict

    assert "did you mean 'shapes'?" in data("verify", "shaps")[1]
    code, output = data("delete", "shapes")
    assert code == 0
    assert output.startswith("deleted ")
    cache = FeatureCache("network", 1)
    cache.add(bytes(16), np.zeros(1, np.float32))
    cache.flush()
    assert f"in {tmp_path / 'cache' / 'features'}" in data()[1]
    assert data("delete", "--all")[1].startswith(f"deleted {tmp_path / 'cache' / 'features'} (")
    assert data("delete", "--all") == (0, "there was nothing to delete\n")
