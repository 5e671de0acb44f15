"""`tenfold embed`: the features of images, as a NumPy file."""

import sys
from pathlib import Path
from typing import Annotated

from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    ForceOption,
    LabelsOption,
    RayOption,
    SplitsOption,
    chosen_data,
    data_argument,
    data_option,
    device_option,
    network_argument,
    output_file,
    required,
)


def embed(
    data_source: Annotated[str | None, data_argument(None)] = None,
    model: Annotated[Path | None, network_argument("lite0")] = None,
    data: Annotated[str | None, data_option(None)] = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    device: Annotated[str, device_option("auto")] = "auto",
    ray: RayOption = None,
    output: Annotated[Path, output_file("features.npz")] = Path("features.npz"),
    force: ForceOption = False,
) -> None:
    """Writes the features of images as a NumPy file.

    Features are what a network gives to its last layer. The file holds float32 features [N, D], names, splits, labels
    and classes. DATA may also be an image file, a quoted pattern, or a folder of images without class folders: their
    labels are -1.

    \b
    Examples:
      tenfold embed my-photos/
      tenfold embed my-photos/ runs/mine --output mine.npz
      tenfold embed "photos/**/*.jpg" --output photos.npz
    """
    from tenfold.cli.output import check_outputs, wrote

    if data is not None and model is None and data_source is not None:
        model, data_source = Path(data_source), None  # --data replaces DATA, so the first word is the network
    source = required(chosen_data(data_source, data), "DATA")
    check_outputs({"--output": output}, force=force)

    from tenfold.api import embed as api
    from tenfold.cli.terminal import progress_for
    from tenfold.core.text import plural

    with progress_for(sys.stderr) as progress:
        found = api.embed(
            source,
            str(model or "lite0"),
            data_dir=data_dir,
            labels=labels,
            splits=splits,
            classes_are_folders=classes_are_folders or None,
            device=device,
            ray=ray or False,
            progress=progress,
        )
    found.save(output)
    count, size = found.features.shape
    wrote(output, f"{size:,} features of {plural(count, 'image')}")
