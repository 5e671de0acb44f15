"""The dataset checks behind `check` and `suspects`: files, class balance, duplicates, label quality."""
