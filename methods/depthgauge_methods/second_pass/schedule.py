"""Which parameters the second pass shifts and regularises, and how strongly, by depth."""

import re
from collections.abc import Iterable

BLOCK = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
ATTENTION = re.compile(r"\.(?:self_attn|attention|attn)\.(?:q|k|v|o|qkv)_proj(?:\.lora_[AB]\.\w+)?\.weight$")


def block_of(name: str) -> int | None:
    """The 0-based block that a parameter belongs to; None for embeddings, final norm and head."""
    match = BLOCK.search(name)
    return int(match.group(1)) if match else None


def ramp(num_blocks: int) -> tuple[int, int]:
    """First regularised block and first block at full strength: 6 and 22 of 36, in proportion for other depths."""
    return round(num_blocks / 6), round(22 * num_blocks / 36)


def depth_scale(block: int, num_blocks: int) -> float:
    """lambda(l): 0 up to block 5 of 36, then linear, 1 from block 22 on.

    Dangi 2026b: "early layers were completely free of the regularizer", "1.0x ... at layer 22 onwards".
    """
    first, full = ramp(num_blocks)
    if block < first:
        return 0.0
    return min(1.0, (block - first + 1) / (full - first + 1))


def strengths(names: Iterable[str], *, num_blocks: int, depth: str) -> dict[str, float]:
    """Lambda of every parameter that is regularised at all; what is missing keeps its GRPO gradient bit for bit."""
    found = {}
    for name in names:
        block = block_of(name)
        if block is not None:
            strength = 1.0 if depth == "uniform" else depth_scale(block, num_blocks)
            if strength > 0:
                found[name] = strength
    return found


def noise_targets(names: Iterable[str], *, num_blocks: int) -> set[str]:
    """The q, k, v and o weights of the unregularised early blocks (0 to 5 of 36)."""
    first, _ = ramp(num_blocks)
    return {
        name for name in names if (block := block_of(name)) is not None and block < first and ATTENTION.search(name)
    }
