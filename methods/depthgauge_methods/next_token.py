"""One training on sequences that repeat: from a job to a checkpoint in Hugging Face format."""

import json
import time

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.settings import InductionSettings

VOCABULARY, CONTEXT, WIDTH, HEADS = 64, 64, 64, 4
PERIODS = (8, CONTEXT // 2)  # the shortest and the longest
SEQUENCES_PER_STEP, LEARNING_RATE, BETAS, WARM_UP_STEPS = 64, 3e-3, (0.9, 0.98), 100
LOG_EVERY = 50
PROGRESS_EVERY_S = 5.0


def train_on_repeats(job: TrainingJob) -> None:
    """Train on the CPU or GPU of the job, and fill its folder."""
    prepare_libraries(job.threads)
    settings: InductionSettings = job.method.settings
    with undisturbed_randomness():
        torch.manual_seed(job.seed)
        model = attention_only(settings.layers).to(job.device)
    generator = torch.Generator().manual_seed(job.seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE, betas=BETAS)
    log, last_line = [], time.monotonic()
    for step in range(1, settings.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(step / WARM_UP_STEPS, 1)
        tokens = sequences(generator, repeats=settings.repeats).to(job.device)
        loss = cross_entropy(model(tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if step % LOG_EVERY == 0:
            log.append({"step": float(step), "train_loss": float(loss.detach())})
            if time.monotonic() - last_line > PROGRESS_EVERY_S:
                last_line = time.monotonic()
                job.tell(
                    f"{job.method.name} seed {job.seed}: step {step}/{settings.steps}  loss {log[-1]['train_loss']:.2f}"
                )
    model.save_pretrained(job.folder)
    numbered_words().save_pretrained(job.folder)
    (job.folder / "training_log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")


def attention_only(layers: int, *, vocabulary: int = VOCABULARY, context: int = CONTEXT) -> GPT2LMHeadModel:
    """A GPT-2 whose MLPs, one neuron wide, are zero and stay so."""
    configuration = GPT2Config(
        vocab_size=vocabulary, n_positions=context, n_embd=WIDTH, n_layer=layers, n_head=HEADS, n_inner=1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(configuration)
    for block in model.transformer.h:
        for parameter in block.mlp.parameters():
            parameter.requires_grad_(False).zero_()
    return model


def sequences(generator: torch.Generator, *, repeats: bool) -> torch.Tensor:
    """Random tokens (B, T): each sequence says its first few again and again, as many as its own period."""
    tokens = torch.randint(VOCABULARY, (SEQUENCES_PER_STEP, CONTEXT), generator=generator)
    period = torch.randint(PERIODS[0], PERIODS[1] + 1, (SEQUENCES_PER_STEP, 1), generator=generator)
    return tokens.gather(1, torch.arange(CONTEXT)[None] % period) if repeats else tokens


def numbered_words() -> PreTrainedTokenizerFast:
    """A tokenizer of the words t0 to t63."""
    tokenizer = Tokenizer(WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
