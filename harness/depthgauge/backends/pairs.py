"""What two checkpoints are run on side by side: the same tokens, in batches that fit into memory."""

from collections.abc import Iterator, Sequence
from typing import Any

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core.errors import NotTestable
from depthgauge.core.testbed import Text
from depthgauge.models.anatomy import blocks
from depthgauge.models.inputs import Tokens, text_ids
from depthgauge.models.load import vocabulary_size

TOKENS = 4096  # of a batch, at most
NUMBERS = 2**26  # held at once, at most, but for a single text that has more


def pair_ids(candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[Text]) -> list[list[int]]:
    """The tokens of each text; chats in the form of the baseline, for both.

    Raises: NotTestable if the two tokenizers cut a text differently; UsageError as `text_ids`.
    """
    for text in texts:
        if candidate.tokenizer(text.text)["input_ids"] != baseline.tokenizer(text.text)["input_ids"]:
            raise NotTestable(
                f"the tokenizers of the two checkpoints cut the text {text.text[:40]!r} differently, and what is "
                "compared token by token needs the same tokens"
            )
    return [text_ids(baseline.tokenizer, text, baseline.forward_model) for text in texts]


def pair_batches(model: Any, token_ids: Tokens) -> list[list[int]]:
    """The batches on which a pair is compared, in logits or in states: the same, so that a model that is read layer by
    layer computes them once.
    """
    states = len(blocks(model)) * int(model.config.get_text_config().hidden_size)
    return list(batches(token_ids, max(states, 2 * vocabulary_size(model))))


def batches(token_ids: Tokens, numbers_per_token: int) -> Iterator[list[int]]:
    """The indices of texts of the same length, as many at a time as TOKENS and NUMBERS allow, and at least one.

    A row that is never padded is computed as it would be alone.
    """
    most = min(TOKENS, NUMBERS // numbers_per_token)
    for length in sorted({len(ids) for ids in token_ids}):
        same = [i for i, ids in enumerate(token_ids) if len(ids) == length]
        size = max(1, most // length)
        yield from (same[start : start + size] for start in range(0, len(same), size))
