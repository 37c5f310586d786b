"""What this probe is measured by: the constants that both `probe` and what computes it read."""

CONFIDENT = 0.8  # of the probability of all options: what Dangi 2026b calls confident of a wrong answer is .74 to .85
EVERY = 3  # a third of a task's items
TASKS = ("science_options", "science")  # the first of these that a testbed has
