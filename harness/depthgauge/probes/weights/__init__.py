"""How far weights moved from another checkpoint's, and where: two folders of safetensors, no model loaded."""

from depthgauge.probes.weights.probe import WeightDeltas
from depthgauge.probes.weights.readings import (
    beyond_rounding,
    but_for_rewrites,
    change_rank,
    deltas,
    exchanged_rows,
    head_order,
    movement,
    norm_factor_of_rows,
    out_of_line,
    quantized_change,
    quantized_change_of_rows,
    quantized_explained,
    quantized_shift,
    relative_change,
    relative_change_of_others,
    relative_change_of_rows,
    unquantized_change,
)

__all__ = [
    "WeightDeltas",
    "beyond_rounding",
    "but_for_rewrites",
    "change_rank",
    "deltas",
    "exchanged_rows",
    "head_order",
    "movement",
    "norm_factor_of_rows",
    "out_of_line",
    "quantized_change",
    "quantized_change_of_rows",
    "quantized_explained",
    "quantized_shift",
    "relative_change",
    "relative_change_of_others",
    "relative_change_of_rows",
    "unquantized_change",
]
