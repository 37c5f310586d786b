"""A toy calorimeter: how much of a particle's energy each ring of each layer holds.

Shapes: N showers; L layers by R rings, flattened to D cells.
"""

import numpy as np
from numpy.typing import NDArray

LAYERS, RINGS = 6, 3
CELLS = LAYERS * RINGS
ENERGIES_GEV = (1.0, 100.0)
CRITICAL_ENERGY_GEV = 0.01
LAYER_DEPTH = 4.0  # in radiation lengths
STEEPNESS, STEEPNESS_SPREAD, DEPTH_SPREAD = 0.5, 0.1, 0.4  # of the profile; from shower to shower
RING_WIDTH, CORE, WIDENING = 0.7, 0.6, 0.06  # in Moliere radii; the core widens by so much a radiation length
SAMPLING_GEV = 0.01  # variance over mean of what a cell holds: 10 % of the energy at 1 GeV
FLOOR = 1e-4  # of the energy: less cannot be told from nothing

Numbers = NDArray[np.float64]


def energies(count: int, random: np.random.Generator) -> Numbers:
    """Energies of particles in GeV, even in their logarithm: (N,)."""
    low, high = np.log(ENERGIES_GEV)
    return np.asarray(np.exp(random.uniform(low, high, count)))


def simulate(energies_gev: Numbers, random: np.random.Generator) -> Numbers:
    """The share of the energy that each cell holds, as logarithms above a floor: (N, D).

    The mean profile in depth is the gamma distribution of Longo and Sestili (1975), its maximum at ln(E/E_c) + 0.5
    radiation lengths, and varies from shower to shower as Grindhammer and Peters (1993) have it; rings are exponential
    in their radius, wider with depth; what a cell holds varies about that as a gamma distribution does.
    """
    from scipy.special import gammainc

    count = len(energies_gev)
    steepness = STEEPNESS * np.exp(random.normal(0, STEEPNESS_SPREAD, count))
    deepest = np.log(energies_gev / CRITICAL_ENERGY_GEV) + 0.5 + random.normal(0, DEPTH_SPREAD, count)
    edges = LAYER_DEPTH * np.arange(LAYERS + 1)
    shape = 1 + steepness * deepest
    in_depth = np.diff(gammainc(shape[:, None], steepness[:, None] * edges), axis=1)
    radii = RING_WIDTH * np.arange(RINGS + 1)
    core = CORE * (1 + WIDENING * (edges[:-1] + LAYER_DEPTH / 2))
    in_rings = np.diff(1 - np.exp(-radii / core[:, None]), axis=1)
    means = energies_gev[:, None, None] * in_depth[:, :, None] * in_rings
    held = SAMPLING_GEV * random.standard_gamma(means / SAMPLING_GEV)
    return np.asarray(np.log(held / energies_gev[:, None, None] + FLOOR).reshape(count, CELLS))


def observables(cells: Numbers) -> dict[str, Numbers]:
    """What physicists look at, each (N,): a layer's energy and its square, two neighbours' product, mean radius by
    layer, and the share of the energy that is held at all.
    """
    shares = np.exp(cells).reshape(len(cells), LAYERS, RINGS) - FLOOR
    layers = np.log(np.clip(shares.sum(2), 0, None) + FLOOR)
    centred = layers - np.log(1 / LAYERS)
    radius = (shares * np.arange(RINGS)).sum(2) / (np.clip(shares, 0, None).sum(2) + FLOOR)
    by_layer = range(LAYERS)
    return {
        **{f"energy of layer {i}": layers[:, i] for i in by_layer},
        **{f"squared energy of layer {i}": centred[:, i] ** 2 for i in by_layer},
        **{f"energies of layers {i} and {i + 1}": centred[:, i] * centred[:, i + 1] for i in by_layer[:-1]},
        **{f"radius in layer {i}": radius[:, i] for i in by_layer},
        "energy held": np.log(np.clip(shares.sum((1, 2)), 0, None) + FLOOR),
    }
