"""Models larger than memory: one decoder layer at a time, read straight from a checkpoint's files.

`open_layerwise` gives a model of transformers in which every module reads its weights when it is run, and lets go of
them after. Probes see the model that they know: hooks, masks, positions and attention are those of the plain load, and
so are all numbers, to the bit. Where a probe says beforehand what it will run (`run_ahead`), all of it goes through one
layer before the next is read, and what each layer computes is kept in the store.
"""

from depthgauge.backends.layerwise.model import LAYERWISE, is_open, open_layerwise
from depthgauge.backends.layerwise.passes import run_ahead

__all__ = ["LAYERWISE", "is_open", "open_layerwise", "run_ahead"]
