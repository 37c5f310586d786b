"""What the tokenizer makes of formulae, and whether the model puts the pieces together again."""

from depthgauge_suites.articles.tokenization.probe import EMBEDDING, Compound, Tokenization
from depthgauge_suites.articles.tokenization.readings import depth, fragments, reads_out, taken_apart

__all__ = [
    "EMBEDDING",
    "Compound",
    "Tokenization",
    "depth",
    "fragments",
    "reads_out",
    "taken_apart",
]
