"""auto-round's own name for weights that it stores as GPTQ or AWQ does: `packing_format` says as which."""

from collections.abc import Mapping
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.registry import FORMATS
from depthgauge.formats.format import Format
from depthgauge.formats.quantized import awq, gptq
from depthgauge.formats.tensors import Stored, Tensor, quantization


def tensors(stored: Mapping[str, Stored], config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    settings = quantization(config) or {}
    packing = str(settings.get("packing_format"))
    if settings.get("extra_config"):
        raise InvalidCheckpoint(
            "config.json has weights of auto-round with an extra_config by layer, which nothing here reads: export "
            "it as auto_gptq or auto_awq."
        )
    if packing.endswith("gptq"):
        return gptq.unpacked(stored, settings, 1)
    if packing.endswith("awq"):
        return awq.unpacked(stored, settings)
    raise InvalidCheckpoint(
        f"config.json has weights of auto-round in the packing_format {packing!r}, which nothing here reads: those "
        "of GPTQ and AWQ are read."
    )


FORMATS.register(Format(name="auto-round", tensors=tensors))
