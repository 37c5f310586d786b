"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

import numpy as np
from numpy.typing import NDArray

MODEL_TYPE = "modular_addition"
RANK = 10  # of W_L in Nanda et al. (2023, section 4.2): two directions for each of five key frequencies
MOST_KEYS = 10  # that a model which computes with a few frequencies can have
EXPLAINED = 0.85  # the published threshold of a neuron's explained variance
Numbers = NDArray[np.float64]
