"""What the tokenizer makes of formulae, and whether the model puts the pieces together again.

Layers are 0-based. Shapes: N compounds, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Word, by_kind
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model

SHUFFLE_SEED = 0
EMBEDDING = -1  # the block before the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """A text that ends with a compound's formula, for a read-out of `label` that is trained on other folds."""

    text: str
    name: str
    label: str
    fold: str


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenization:
    """Fragments of each kind of words, an array a kind; `read_out` and `shuffled` (N, L + 1) of `compute.read_out`."""

    words: tuple[Word, ...]
    compounds: tuple[Compound, ...]
    name: ClassVar[str] = "tokenization"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "what the tokenizer takes apart"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        compounds = digest([[compound.text, compound.label, compound.fold] for compound in self.compounds])
        return {"words": digest(by_kind(self.words)), "compounds": compounds}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.articles.tokenization.compute import fragments, last_token_states, read_out

        model, tokenizer = checkpoint.model, checkpoint.tokenizer
        states = last_token_states(model, [tokenizer(each.text)["input_ids"] for each in self.compounds])
        labels, folds = [each.label for each in self.compounds], [each.fold for each in self.compounds]
        counts = {kind: fragments(tokenizer, words) for kind, words in by_kind(self.words).items()}
        shuffled = read_out(states, labels, folds, shuffle_seed=SHUFFLE_SEED)
        return counts | {"read_out": read_out(states, labels, folds), "shuffled": shuffled}
