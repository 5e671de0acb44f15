"""The published files of CIFAR-10 and CIFAR-100: addresses, names, checksums and class names."""

from dataclasses import dataclass

_HOME = "https://www.cs.toronto.edu/~kriz"
_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
worm
"""


@dataclass(frozen=True)
class Part:
    """One file of images.

    Args:
        name: file name in its folder.
        count: number of images in it.
        md5: checksum of the extracted file; empty where none is known.
    """

    name: str
    count: int
    md5: str = ""


@dataclass(frozen=True)
class CifarForm:
    """One of the forms in which a dataset is published.

    Args:
        archive: file name of the archive.
        md5: checksum of the archive.
        size: size of the archive in bytes, or None where unknown.
        folder: folder in the archive that contains the parts.
        train: files of the train split.
        test: files of the test split.
        binary: whether the parts are rows of label and pixels instead of Python's pickled batches.
    """

    archive: str
    md5: str
    size: int | None
    folder: str
    train: tuple[Part, ...]
    test: tuple[Part, ...]
    binary: bool = False


@dataclass(frozen=True)
class CifarSource:
    """A dataset in CIFAR's format.

    Args:
        name: name that the user gives in `--data`.
        classes: class names in the order of the labels.
        forms: published forms; the first one is downloaded.
        label_key: key of the labels in a pickled batch.
        label_bytes: number of labels before each row of the binary form; the last of them is used.
        mirrors: base addresses; an archive is at one of them, a slash and its file name.
    """

    name: str
    classes: tuple[str, ...]
    forms: tuple[CifarForm, ...]
    label_key: bytes = b"labels"
    label_bytes: int = 1
    mirrors: tuple[str, ...] = (_HOME,)


CIFAR10 = CifarSource(
    name="cifar10",
    classes=tuple(_CIFAR10_CLASSES.split()),
    forms=(
        CifarForm(
            archive="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            size=170_498_071,
            folder="cifar-10-batches-py",
            train=(
                Part("data_batch_1", 10_000, "c99cafc152244af753f735de768cd75f"),
                Part("data_batch_2", 10_000, "d4bba439e000b95fd0a9bffe97cbabec"),
                Part("data_batch_3", 10_000, "54ebc095f3ab1f0389bbae665268c751"),
                Part("data_batch_4", 10_000, "634d18415352ddfa80567beed471001a"),
                Part("data_batch_5", 10_000, "482c414d41f54cd18b22e5b47cb7c3cb"),
            ),
            test=(Part("test_batch", 10_000, "40351d587109b95175f43aff81a1287e"),),
        ),
        CifarForm(
            archive="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            size=170_052_171,
            folder="cifar-10-batches-bin",
            train=tuple(Part(f"data_batch_{number}.bin", 10_000) for number in range(1, 6)),
            test=(Part("test_batch.bin", 10_000),),
            binary=True,
        ),
    ),
)

CIFAR100 = CifarSource(
    name="cifar100",
    classes=tuple(_CIFAR100_CLASSES.split()),
    forms=(
        CifarForm(
            archive="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            size=169_001_437,
            folder="cifar-100-python",
            train=(Part("train", 50_000, "16019d7e3df5f24257cddd939b257f8d"),),
            test=(Part("test", 10_000, "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        ),
        CifarForm(
            archive="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            size=None,
            folder="cifar-100-binary",
            train=(Part("train.bin", 50_000),),
            test=(Part("test.bin", 10_000),),
            binary=True,
        ),
    ),
    label_key=b"fine_labels",
    label_bytes=2,
)

SOURCES = {source.name: source for source in (CIFAR10, CIFAR100)}
