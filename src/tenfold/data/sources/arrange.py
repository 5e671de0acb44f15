"""Decides where the labels of a source come from: tables, file names or class folders."""

from dataclasses import replace
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.data.sources.folder_layout import FoundFiles, arrange_folders
from tenfold.data.sources.label_files import ReadFile, label_names, metadata_tables, named_tables
from tenfold.data.sources.label_layout import arrange_by_names, arrange_by_tables
from tenfold.data.sources.label_proposals import disagreement, proposal, unused_table
from tenfold.data.sources.layout import Layout, UnlabeledError
from tenfold.data.sources.rules import SourceRules


def arrange(root: Path, found: FoundFiles, rules: SourceRules, read: ReadFile, *, for_training: bool) -> Layout:
    """Assigns the images of a source to splits and classes.

    Args:
        root: the source, for messages.
        found: its files.
        rules: how it is read.
        read: reads one of its files.
        for_training: see `arranged`.

    Raises:
        DataError: when labels are missing or contradict each other; the message says with which flag it works.
        StorageError: when a table cannot be read.
    """
    rule = rules.labels
    if rule and rule.pattern:
        return arrange_by_names(root, found, rule, rules, for_training=for_training)
    tables = named_tables(root, found, rule, read) if rule else []
    if not rule and not rules.classes_are_folders:
        tables = metadata_tables(found, read)
    if tables:
        names = label_names(root, rule)
        return arrange_by_tables(root, found, tables, rules, names, for_training=for_training)
    try:
        layout = arrange_folders(root, found, rules, for_training=for_training)
    except UnlabeledError as error:
        raise DataError(f"{error}{proposal(found, read)}") from None
    if rules.classes_are_folders:
        return layout
    if message := disagreement(found, layout, read):
        raise DataError(f"{escaped(str(root))} {message}")
    note = unused_table(found, read)
    return replace(layout, notes=(*layout.notes, note)) if note else layout
