"""What was found before: recorded outcomes, accepted baselines, runs over time."""
