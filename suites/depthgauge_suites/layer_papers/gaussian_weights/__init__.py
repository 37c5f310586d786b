"""How near the weights of each matrix are to a Gaussian (arXiv:2501.10661), as effect sizes, from the files alone."""

from depthgauge_suites.layer_papers.gaussian_weights.readings import departures

__all__ = [
    "departures",
]
