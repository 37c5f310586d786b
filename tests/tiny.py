"""A testbed so small that a training takes a second: the same code as on the real ones, over a toy language."""

from pathlib import Path

from depthgauge import ItemTask, Testbed, Training, TrainingScale
from depthgauge.core.testbed import Item, Word
from depthgauge.probes.attention import MarkedText
from depthgauge.probes.greedy_entropy import Opening
from depthgauge.probes.sinks import Passage
from depthgauge_suites.articles.noise_trace import Landmarks, TraceQuestion
from depthgauge_suites.articles.tokenization import Compound

LETTERS = "abcd"
PROMPTS = tuple(first + second for first in LETTERS for second in LETTERS)
BLOCKS = 6


def save_tiny_base(folder: Path, *, seed: int = 0, blocks: int = BLOCKS) -> Path:
    """A random Qwen3 of `blocks` layers over single letters, with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    vocabulary = {"<end>": 0, "<pad>": 1, " ": 2} | {letter: 3 + i for i, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>", padding_side="left"
    )
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=1,
        # With 0.3 curvature is such that a forward difference at a step of 1e-5 is off by 1.3e-3: the error is of the
        # model's third derivative and not of the code, as its order of convergence shows.
        initializer_range=0.15,
    )
    torch.manual_seed(seed)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def choices() -> tuple[Item, ...]:
    return tuple(
        Item(id=f"c{i}", prompt=prompt, answer=LETTERS[i % 4], options=tuple(LETTERS))
        for i, prompt in enumerate(PROMPTS)
    )


def answers() -> tuple[Item, ...]:
    return tuple(Item(id=f"a{i}", prompt=prompt, answer="a") for i, prompt in enumerate(PROMPTS))


def words() -> tuple[Word, ...]:
    formulae, ordinary = ("abc", "dd", "abcd"), ("a", "b", "cd")
    return (
        *(Word(text=word, kind="formula") for word in formulae),
        *(Word(text=word, kind="ordinary") for word in ordinary),
    )


def compounds() -> tuple[Compound, ...]:
    names = [(f"{label}{fold}d", label, fold) for label in LETTERS for fold in LETTERS]
    return tuple(Compound(text=name, name=name, label=label, fold=fold) for name, label, fold in names)


def tiny_testbed(base: Path, *, steps: int = 4, name: str = "tiny", save_every_steps: int = 2) -> Testbed:
    return Testbed(
        name=name,
        base=base,
        training=Training(
            prompts=choices,
            scale=TrainingScale(
                steps=steps,
                learning_rate=1e-3,
                completions_per_step=32,
                group_size=8,
                max_completion_tokens=1,
                save_every_steps=save_every_steps,
            ),
        ),
        tasks=(
            ItemTask(name="science", items=choices),
            ItemTask(name="history", items=answers, temperature=0.6, repeats=3, max_answer_tokens=2),
            ItemTask(name="mathematics", items=answers, temperature=0.6, repeats=3, max_answer_tokens=2, version=2),
        ),
        probe_inputs={
            Landmarks: lambda: (Landmarks(late=(3, 4, 5), spike=2),),
            Opening: lambda: map(Opening, PROMPTS),
            TraceQuestion: lambda: [TraceQuestion(prompt=prompt, right="a", wrong="b") for prompt in PROMPTS[:9]],
            MarkedText: lambda: [MarkedText(text=f"a{prompt}cbd", terms=("cb",)) for prompt in PROMPTS],
            Word: words,
            Compound: compounds,
            Passage: lambda: [Passage((first + second) * 32) for first in LETTERS for second in LETTERS],
        },
        suites=("articles", "circuits", "layer_papers"),
        recorded_outcomes=base / "recorded.json",
        threads=1,
    )
