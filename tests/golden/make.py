"""Writes the golden loss curves anew: `python tests/golden/make.py`, after a change that is meant to alter them."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from harness.curves import RECIPES, curve

    for recipe in RECIPES:
        (HERE / f"{recipe}.json").write_text(json.dumps(curve(recipe), indent=1) + "\n")
