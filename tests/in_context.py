"""Small models that learn labels in context by construction: by their induction heads, or by a layer above them."""

from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase

import torch
from tokenizers import Tokenizer, models
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from depthgauge.core.testbed import Word
from depthgauge_methods.next_token import HEADS, WIDTH, attention_only

LETTERS = ascii_lowercase[:24]
OF_A_KIND = 12  # letters, of which there are two kinds
KNOWN = [*(f"{letter}:" for letter in LETTERS), "\n", " ", "A", "B"]  # to the models; their tokenizer has letters too
IDS = {piece: i for i, piece in enumerate([*KNOWN, ":", *LETTERS])}
BATCH, LENGTH, PERIODS, LINES = 64, 48, (8, 25), 18
WARM_UP_STEPS = 100

Batch = tuple[torch.Tensor, torch.Tensor]  # tokens, and which of them are to be said: (B, T)


def words_that_end_alike() -> tuple[Word, ...]:
    """Of two tokens, the latter that of the kind: the label follows what it followed before."""
    return tuple(Word(text=f"{letter}:{kind}", kind=kind) for kind in "wx" for letter in LETTERS[:OF_A_KIND])


def words_of_one_token() -> tuple[Word, ...]:
    """No token of the words of a prompt is said twice in it."""
    return tuple(Word(text=letter, kind=str(LETTERS.index(letter) // OF_A_KIND)) for letter in LETTERS)


def save_two_awake(folder: Path, *, seed: int, steps: int = 800) -> Path:
    """Two layers trained on repeats, in which one head below can write, and two above.

    With more below, induction may take another way: over the token after next, which has been told of both.
    """
    generator, model = torch.Generator().manual_seed(seed), fresh(2, seed)
    for block, heads in zip(model.transformer.h, (1, 2), strict=True):
        keep_awake(block.attn.c_proj.weight, heads)
    train(model, steps, lambda: repeats(generator))
    return save(model, folder)


def keep_awake(writes: torch.nn.Parameter, heads: int) -> None:
    """The other heads write nothing, and are not trained to."""
    awake = (torch.arange(WIDTH) < WIDTH // HEADS * heads).float()[:, None]
    writes.data.mul_(awake)
    writes.register_hook(lambda gradient: gradient * awake)


def save_layer_above(folder: Path, *, seed: int) -> Path:
    """Two layers trained on repeats, and then a third one alone on labels."""
    generator, model = torch.Generator().manual_seed(seed), fresh(3, seed)
    above = model.transformer.h[2].requires_grad_(False)
    above.attn.c_proj.weight.data.zero_()
    train(model, 800, lambda: repeats(generator))
    model.requires_grad_(False)
    for part in (above.attn, above.ln_1):
        part.requires_grad_(True)
    train(model, 1200, lambda: labels(generator), rate=1e-2)
    return save(model, folder)


def fresh(layers: int, seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    return attention_only(layers, vocabulary=len(KNOWN), context=128)


def repeats(generator: torch.Generator) -> Batch:
    """Random tokens, said again and again with a period of their own."""
    tokens = torch.randint(len(KNOWN), (BATCH, LENGTH), generator=generator)
    period = torch.randint(*PERIODS, (BATCH, 1), generator=generator)
    return tokens.gather(1, torch.arange(LENGTH) % period), torch.ones(BATCH, LENGTH, dtype=torch.bool)


def labels(generator: torch.Generator) -> Batch:
    """Lines of a word of one token and the label of its kind; labels are to be said."""
    words = torch.stack([torch.randperm(len(LETTERS), generator=generator)[:LINES] for _ in range(BATCH)])
    swapped = torch.randint(2, (BATCH, 1), generator=generator).bool()
    tokens = torch.full((BATCH, LINES, 3), IDS["\n"])
    tokens[..., 0] = words
    tokens[..., 1] = torch.where((words < OF_A_KIND) ^ swapped, IDS["A"], IDS["B"])
    said = torch.arange(3).eq(1).expand(BATCH, LINES, 3)
    return tokens.flatten(1), said.flatten(1)


def train(model: GPT2LMHeadModel, steps: int, batch: Callable[[], Batch], rate: float = 3e-3) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], betas=(0.9, 0.98))
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = rate * min(step / WARM_UP_STEPS, 1)
        tokens, said = batch()
        loss = cross_entropy(model(tokens).logits[:, :-1][said[:, 1:]], tokens[:, 1:][said[:, 1:]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def save(model: GPT2LMHeadModel, folder: Path) -> Path:
    """With a tokenizer for which a letter and its colon are one token."""
    spells = Tokenizer(models.BPE(vocab=IDS, merges=[(letter, ":") for letter in LETTERS]))
    PreTrainedTokenizerFast(tokenizer_object=spells).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
