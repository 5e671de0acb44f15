"""From what was seen of files and pixels to sentences with a severity."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from tenfold.data.inspection.files import CONVERTED, Survey
from tenfold.data.inspection.findings import Finding
from tenfold.data.inspection.gallery import Picture
from tenfold.data.inspection.groups import Leak, Pair
from tenfold.data.layout import Layout
from tenfold.data.types import Skipped

_MOST_EXAMPLES = 5


def file_findings(survey: Survey, layout: Layout, unreadable: Sequence[Skipped]) -> Iterator[Finding]:
    """Yields what is to be said of the files.

    Args:
        survey: what their headers say.
        layout: the classes that were found, and other files that were passed over.
        unreadable: pictures that cannot be read.
    """
    empty = [note for note in layout.notes if "holds no pictures" in note]
    yield from (Finding("error", "empty-class", note, 1) for note in empty)
    if unreadable:
        sentence = f"{_pictures(len(unreadable))} cannot be read and will be left out"
        yield Finding("warning", "unreadable", sentence, len(unreadable), _examples(one.path for one in unreadable))
    for kind, count in survey.converted.most_common():
        sentence = f"{_pictures(count)} {CONVERTED[kind]}"
        yield Finding("note", f"converted-{kind.replace(' ', '-')}", sentence, count, tuple(survey.examples[kind]))
    if len(survey.sizes) > 1:
        (height, width), count = survey.sizes.most_common(1)[0]
        sentence = f"pictures have {len(survey.sizes):,} different sizes, most often {width}×{height} ({count:,})"
        yield Finding("note", "sizes", sentence, len(survey.sizes))
    if others := len(layout.skipped):
        sentence = f"{others:,} other file{'s' * (others != 1)} passed over"
        yield Finding("note", "skipped", sentence, others, _examples(one.path for one in layout.skipped))


def pixel_findings(pairs: Sequence[Pair], flat: Sequence[Picture], leak: Leak, more: bool) -> Iterator[Finding]:
    """Yields what is to be said of the pixels.

    Args:
        pairs: exact and near duplicates.
        flat: pictures of one colour.
        leak: test pictures with a twin in train.
        more: whether pairs were left unchecked.
    """
    if leak.places:
        sentence = (
            f"{len(leak.places):,} of {leak.total:,} test pictures have a duplicate in train ({leak.exact:,} exact, "
            f"{leak.near:,} near); an accuracy on them tells what was remembered"
        )
        across = [pair.second.name for pair in pairs if (pair.first.split, pair.second.split) == ("train", "test")]
        yield Finding("warning", "leak", sentence, len(leak.places), _examples(across))
    yield from _validation(pairs)
    conflicts = [pair for pair in pairs if pair.conflict]
    if conflicts:
        sentence = f"{_pairs(len(conflicts))} of duplicates with two different labels"
        yield Finding("warning", "conflict", sentence, len(conflicts), _examples(map(_both, conflicts)))
    if flat:
        sentence = f"{_pictures(len(flat))} {_is(len(flat))} of one colour"
        yield Finding("warning", "one-colour", sentence, len(flat), _examples(one.name for one in flat))
    for rule, adjective in (("exact", "exact"), ("near", "near")):
        within = [pair for pair in pairs if pair.rule == rule and not pair.across]
        if within:
            sentence = f"{_pairs(len(within))} of {adjective} duplicates within a split"
            yield Finding("note", f"{rule}-duplicates", sentence, len(within), _examples(map(_both, within)))
    if more:
        sentence = "many pictures are very much alike; only the most similar of their pairs were looked at closely"
        yield Finding("note", "crowded", sentence, len(pairs))


def _validation(pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yields what is to be said of pairs between the validation split and another."""
    for other in ("train", "test"):
        found = [pair for pair in pairs if {pair.first.split, pair.second.split} == {other, "val"}]
        if found:
            sentence = f"{_pairs(len(found))} of duplicates between validation and {other} pictures"
            yield Finding("warning", f"leak-val-{other}", sentence, len(found), _examples(map(_both, found)))


def _both(pair: Pair) -> str:
    return f"{pair.first.name} and {pair.second.name}"


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(names, _MOST_EXAMPLES))


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
