"""Which corruptions the gate is judged by: faults at growing doses, and harmless rewritings."""

from depthgauge.corruptions import CORRUPTIONS, Corruption, middle_layer

FAULTS: dict[str, Corruption] = {
    name: CORRUPTIONS[name] for name in CORRUPTIONS if CORRUPTIONS[name].kind == "fault" and CORRUPTIONS[name].doses
}
# How many of each harmless one; all is measured again, as a fingerprint is of files.
HARMLESS = {"round_stochastically": 100, "save_in_shards": 12, "add_config_field": 4}
RESAMPLES = 84


def of_one_layer(corruption: Corruption) -> bool:
    """Whether the place of a pair is the layer that is at fault."""
    return corruption.default_layers is middle_layer


def on_files(corruption: Corruption) -> bool:
    """Whether it is seen without reading a weight: by another file, or by tensors that are missing."""
    return corruption.change_files is not None or corruption.name in ("drop_tensor", "drop_last_layers")


def fixed(corruption: Corruption) -> bool:
    """Whether it draws nothing: a second pair would be the first again."""
    return not (corruption.seeded or of_one_layer(corruption))
