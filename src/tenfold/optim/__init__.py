"""Update rules, learning-rate schedules and weight averaging."""
