"""`tenfold recipes`: the recipes that come with Tenfold."""

from typing import Annotated

from tenfold.cli.options import either, recipe_argument, recipe_option

_TIMM_NOTE = "timm:NAME is a recipe too, for any network of timm (pip install -e '.[timm]')"
_WIDTH = 100


def recipes(
    recipe_name: Annotated[str | None, recipe_argument("list all")] = None,
    recipe: Annotated[str | None, recipe_option("list all")] = None,
) -> None:
    """Lists the recipes, or prints one as TOML; of auto, its rule.

    A printed recipe has every key, also those of its network; `# default` marks the keys that it does not set.

    \b
    Examples:
      tenfold recipes
      tenfold recipes quick > mine.toml
      tenfold train --recipe mine.toml
    """
    from tenfold.cli.output import render
    from tenfold.recipes.auto import AUTO, EXPLANATION, TITLE
    from tenfold.recipes.load import load_recipe, recipe_header, recipe_names
    from tenfold.report.tables.run_tables import listing

    name = either(recipe_name, recipe, "RECIPE")
    if name is None:
        rows = [[AUTO, TITLE, "", ""], *([each, *_facts(recipe_header(each))] for each in recipe_names())]
        render(listing(["recipe", "what", "time", "accuracy"], rows), _TIMM_NOTE, width=_WIDTH)
        return
    if name == AUTO:
        print(EXPLANATION, end="")
        return
    if name in recipe_names():
        print("".join(f"# {line}".rstrip() + "\n" for line in recipe_header(name).splitlines()))
    chosen = load_recipe(name)  # reports a mistake before torch is imported, whose networks have keys of their own

    from tenfold.recipes.complete import complete_toml

    print(complete_toml(chosen), end="")


def _facts(header: str) -> tuple[str, str, str]:
    """Returns the first line, the time and the accuracy of a recipe's header."""
    lines = header.splitlines()
    facts = {key: value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    return lines[0].rstrip("."), facts.get("Time", ""), facts.get("Accuracy", "")
