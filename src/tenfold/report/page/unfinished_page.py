"""`report.html` of a run without a result: where it stands, its curves so far, and how to go on."""

from dataclasses import replace
from pathlib import Path

from tenfold.core import durable
from tenfold.core.text import count, printable
from tenfold.report.doctor.diagnose import apply_rules
from tenfold.report.doctor.evidence import Evidence
from tenfold.report.page.curves import curve_charts
from tenfold.report.page.header import Header, run_header
from tenfold.report.page.rendering import render
from tenfold.report.plots.curve_notes import curve_notes
from tenfold.runs.run_folder import RunFolder


def write_unfinished_page(folder: RunFolder) -> Path:
    """Writes the page of a run that has not finished, or whose loss was not finite, and returns its path.

    Args:
        folder: folder of the run.

    Raises:
        RecipeError: when the recipe is damaged.
        StorageError: when the page cannot be written.
    """
    durable.write_text(folder.report, unfinished_page(folder))
    return folder.report


def unfinished_page(folder: RunFolder) -> str:
    """Returns the page of an unfinished run as HTML; see `write_unfinished_page`."""
    header, evidence = run_header(folder), Evidence.read(folder)
    state, explanation = _state(folder, evidence)
    return render(
        "unfinished.html",
        header=replace(header, commands=_commands(folder, header)),
        state=state,
        explanation=explanation,
        findings=apply_rules(evidence),
        head=None,
        curves=curve_charts(evidence.rows),
        curve_notes=() if evidence.recipe is None else curve_notes(evidence.recipe, evidence.rows),
    )


def _state(folder: RunFolder, evidence: Evidence) -> tuple[str, str]:
    """Returns where a run stands in a few words, and what that means."""
    diverged_at = folder.diverged_at()
    if diverged_at is not None:
        explanation = "The loss became NaN or infinite, so training ended without a result."
        return f"Diverged at step {count(diverged_at)}", explanation
    steps = [evidence.num_steps, *(int(event.get("step") or 0) for event in evidence.events)]
    return (
        f"Not finished: step {count(max(steps))}",
        "This run has no result yet: it was stopped, or is still training.",
    )


def _commands(folder: RunFolder, header: Header) -> tuple[tuple[str, str], ...]:
    rate = " at a lower learning rate" if folder.diverged_at() is not None else ""
    return (f"Go on with this run{rate}", printable(folder.resume_command())), *header.commands[1:]
