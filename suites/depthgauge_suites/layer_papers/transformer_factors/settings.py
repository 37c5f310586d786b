"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

import math

LONGEST, MOST_LAYERS, MOST_STATES = 64, 12, 12_000  # tokens of a text; states are those of all layers
MOST_FACTORS, PER_NUMBER = 1024, 2  # at most two factors for each number of a state
PENALTY = 0.05  # of a state's length
EPOCHS, CONTEXTS = 2, 3
HELD_OUT = 4  # every fourth text is not learnt from


def penalty_of(numbers: int) -> float:
    """For states whose numbers have spread 1, and which are as long as the root of how many they are."""
    return PENALTY * math.sqrt(numbers)
