"""Build the base of the listops testbed: six layers that have read text. `make listops` runs this.

They have read what the pocket testbed's base reads, and as many lists and boards, none with its answer: their layers
carry these tokens, and know nothing of what they come to. Some ten minutes on 2 cores. Killed, it resumes from its
last saved step when run again.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from depthgauge_testbeds.listops import BASE, draw_board, draw_expression
from depthgauge_testbeds.listops.boards import EMPTY, O, X, field
from depthgauge_testbeds.listops.expressions import CLOSE, OPERATORS
from depthgauge_testbeds.pocket import BASE as POCKET
from depthgauge_testbeds.pocket.build import BaseRecipe, Pretraining, configuration, state_key
from depthgauge_testbeds.pocket.corpus import END_OF_TEXT
from depthgauge_testbeds.pocket.corpus import documents as pocket_documents

LAYERS, TASKS_PER_DOCUMENT = 6, 8


def wider_tokenizer() -> PreTrainedTokenizerFast:
    """The pocket testbed's, with a token for each operator, the end of a list, and the fields of a board."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(POCKET)
    fields = (field(mark, place) for mark in (X, O, EMPTY) for place in range(1, 10))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in (*OPERATORS, CLOSE, *fields)])
    return tokenizer


def documents(seed: int) -> Iterator[str]:
    """An endless stream: a document of the pocket testbed's, then a row of lists and boards without their answers."""
    random = Random(seed)
    for text in pocket_documents(seed):
        yield text
        drawn = (random.choice((draw_expression, draw_board))(random) for _ in range(TASKS_PER_DOCUMENT))
        yield "".join("".join(example.tokens) + END_OF_TEXT for example in drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/listops"), help="where unfinished work is kept")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    recipe, tokenizer = BaseRecipe(), wider_tokenizer()
    config = configuration(tokenizer, LAYERS)
    config.tie_word_embeddings = False  # what is read stays frozen where what is said is trained
    state = arguments.work / f"{state_key(recipe, tokenizer)}.pt"
    Pretraining(recipe, config, documents(recipe.seed), tokenizer, state).run().save_pretrained(BASE)
    wider_tokenizer().save_pretrained(BASE)  # a fresh one: use leaves padding and truncation in its file
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
