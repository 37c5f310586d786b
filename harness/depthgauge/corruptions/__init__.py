"""Ways to change a checkpoint: faults that a claim must refute, and what is harmless and must not be blocked.

They are the negative controls of claims, and what the gate's own quality is judged by. Importing this registers them,
and imports no torch. See docs/adding-a-corruption.md.
"""

from depthgauge.core.registry import CORRUPTIONS
from depthgauge.corruptions import attention, files, layers, precision, quantization, tokenizer, weights
from depthgauge.corruptions.corrupted import Corrupted, corrupted, with_dose
from depthgauge.corruptions.corruption import (
    Changes,
    Config,
    Corruption,
    Layers,
    all_layers,
    file_corruption,
    late_layers,
    middle_layer,
    weight_corruption,
)
from depthgauge.corruptions.draws import Draws
from depthgauge.corruptions.folder import FolderTensors, corrupt, edit_config, edit_json

__all__ = [
    "CORRUPTIONS",
    "Changes",
    "Config",
    "Corrupted",
    "Corruption",
    "Draws",
    "FolderTensors",
    "Layers",
    "all_layers",
    "attention",
    "corrupt",
    "corrupted",
    "edit_config",
    "edit_json",
    "file_corruption",
    "files",
    "late_layers",
    "layers",
    "middle_layer",
    "precision",
    "quantization",
    "tokenizer",
    "weight_corruption",
    "weights",
    "with_dose",
]
