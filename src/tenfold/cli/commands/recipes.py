"""`tenfold recipes`: the recipes that come with Tenfold."""

from typing import Annotated

import typer

_NETWORKS_OF_TIMM = "timm:NAME is a recipe too, for any network of timm (pip install 'tenfold[timm]')"


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="Print this one, complete, as TOML; also timm:NAME.")
    ] = None,
) -> None:
    """Lists the recipes, or prints one as TOML.

    \b
    Examples:
      tenfold recipes
      tenfold recipes quick > mine.toml
      tenfold train --recipe mine.toml
    """
    from tenfold.cli.output import show
    from tenfold.recipes.load import load_recipe, recipe_header, recipe_names, to_toml
    from tenfold.report.tables.run_tables import listing

    if name is None:
        rows = [[each, *_facts(recipe_header(each))] for each in recipe_names()]
        show(listing(["recipe", "what", "time", "accuracy"], rows), _NETWORKS_OF_TIMM)
        return
    if name in recipe_names():
        print("".join(f"# {line}".rstrip() + "\n" for line in recipe_header(name).splitlines()))
    print(to_toml(load_recipe(name)), end="")


def _facts(header: str) -> tuple[str, str, str]:
    """Returns a recipe's first line, its time and its accuracy."""
    lines = header.splitlines()
    facts = {key: value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    return lines[0].rstrip("."), facts.get("Time", ""), facts.get("Accuracy", "")
