"""Fine-tuning on a few hundred photos as PyTorch's transfer-learning tutorial does it: the baseline of `photo-tuned`.

    python benchmarks/transfer_tutorial.py FOLDER              # with train/CLASS/ and val/CLASS/: 25 epochs
    python benchmarks/transfer_tutorial.py FOLDER --epochs 1   # a short try

All layers are trained for 25 epochs by SGD (rate 0.001, momentum 0.9, a tenth of it after every 7 epochs) on batches of
4: random crops of 8 to 100 % of the area and mirror images for training, the center of the image for validation. After
each epoch the validation images are evaluated, and the best weights are kept. Two things differ from the tutorial, so
that only the method is compared: the network is EfficientNet-Lite0 with its ImageNet weights and their normalization,
and the transforms are written out, because torchvision has no CPU build for the pinned torch.

The last line is JSON. `seconds` are those of the whole program, `training_seconds` those of all epochs with their
evaluations. `accuracy` is that of the best epoch, which was chosen by the same images: it is a little optimistic.
"""
# mypy: ignore-errors
# Without annotations, as people write it.

import time

START = time.perf_counter()  # before the imports, which take seconds

import argparse  # noqa: E402
import copy  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn, optim  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

import tenfold.models  # noqa: E402, F401
from tenfold.models.build import build_model  # noqa: E402
from tenfold.models.pretrained import pretrained_weights  # noqa: E402
from tenfold.models.weights import load_weights  # noqa: E402

SIDE = 224
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def random_resized_crop(image):
    width, height = image.size
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w <= width and h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))
    return center_crop(image, min(width, height)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def resize(image, short_side):
    width, height = image.size
    scale = short_side / min(width, height)
    return image.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)


def center_crop(image, side):
    width, height = image.size
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def train_transform(image):
    image = random_resized_crop(image)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def val_transform(image):
    return center_crop(resize(image, 256), SIDE)


class Photos(Dataset):
    def __init__(self, folder, transform):
        self.classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
        self.samples = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((folder / name).rglob("*"))
            if path.suffix.lower() in SUFFIXES
        ]
        self.transform = transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        with Image.open(path) as file:
            image = self.transform(file.convert("RGB"))
        image = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return image.sub_(0.5).div_(0.5), label


def pretrained_network(classes):
    model = build_model("lite0", {}, num_classes=len(classes), image_size=(SIDE, SIDE))
    load_weights(model, pretrained_weights("lite0", {}, (SIDE, SIDE)), tuple(classes))
    return model


def train_model(model, loaders, epochs, device):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, best_accuracy = copy.deepcopy(model.state_dict()), 0.0

    for epoch in range(epochs):
        for phase in ("train", "val"):
            model.train(phase == "train")
            running_loss, correct = 0.0, 0
            for inputs, labels in loaders[phase]:
                inputs, labels = inputs.to(device), labels.to(device)
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * len(inputs)
                correct += (outputs.argmax(1) == labels).sum().item()
            if phase == "train":
                scheduler.step()
            size = len(loaders[phase].dataset)
            accuracy = correct / size
            print(f"epoch {epoch + 1} {phase}: loss {running_loss / size:.4f}, {accuracy:.4f}", file=sys.stderr)
            if phase == "val" and accuracy > best_accuracy:
                best, best_accuracy = copy.deepcopy(model.state_dict()), accuracy

    model.load_state_dict(best)
    return best_accuracy, accuracy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count()))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)

    photos = {
        "train": Photos(args.folder / "train", train_transform),
        "val": Photos(args.folder / "val", val_transform),
    }
    # The workers' `random` is seeded by the DataLoader.
    loaders = {
        phase: DataLoader(split, batch_size=4, shuffle=True, num_workers=args.workers)
        for phase, split in photos.items()
    }
    model = pretrained_network(photos["train"].classes).to(args.device)
    training = time.perf_counter()
    accuracy, last_accuracy = train_model(model, loaders, args.epochs, args.device)
    result = {
        "seconds": round(time.perf_counter() - START, 1),
        "training_seconds": round(time.perf_counter() - training, 1),
        "accuracy": round(accuracy, 4),
        "last_accuracy": round(last_accuracy, 4),
        "epochs": args.epochs,
        "images": {phase: len(split) for phase, split in photos.items()},
        "device": args.device,
        "threads": torch.get_num_threads(),
        "workers": args.workers,
        "seed": args.seed,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
