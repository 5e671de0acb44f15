"""Prepares the images with `tenfold data get`, and writes them as the files that other scripts read.

python benchmarks/gpu/prepare.py DATA        # a dry run takes the built-in shapes instead
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from common import DRY_RUN, PREPARED, WORK, emit, load_dataset

from tenfold.data.types import Split


def main() -> None:
    """Prepares the images and writes `cifar10/{train,test}.pt` and `images.npz` into the working folder."""
    source = "shapes" if DRY_RUN else str(Path(sys.argv[1]).absolute())
    began = time.perf_counter()
    command = [sys.executable, "-m", "tenfold", "data", "get", source]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    seconds = time.perf_counter() - began
    PREPARED.with_suffix(".tmp").write_text(json.dumps({"source": source}))
    PREPARED.with_suffix(".tmp").replace(PREPARED)
    dataset = load_dataset()
    folder = WORK / "cifar10"
    folder.mkdir(exist_ok=True)
    _save(dataset.train, dataset.classes, folder / "train.pt")
    _save(dataset.test, dataset.classes, folder / "test.pt")
    train, test = dataset.train, dataset.test
    np.savez(
        WORK / "images.npz",
        train_images=train.images,
        train_labels=train.labels % 10,  # the script has ten outputs, and the shapes of a dry run may have more
        test_images=test.images,
        test_labels=test.labels % 10,
    )
    emit(
        data=str(dataset),
        prepare_seconds=round(seconds, 2),
        all_seconds=round(time.perf_counter() - began, 2),
        python=sys.version.split()[0],
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    )


def _save(split: Split, classes: tuple[str, ...], path: Path) -> None:
    """Writes a split as the speedrun scripts read it: images uint8 [N, H, W, 3], labels int64 [N]."""
    images, labels = (torch.from_numpy(np.array(array)) for array in (split.images, split.labels))
    torch.save({"images": images, "labels": labels, "classes": list(classes)}, path)


if __name__ == "__main__":
    main()
