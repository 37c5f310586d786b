"""Which probes work on which families of models, on random tiny ones, into docs/families.md.

Run by `python -m benchmarks.families`, or with the names of families to print their rows alone. Every cell is what the
real path gives: a folder on disk, a candidate, a store, and for pairs a copy whose weights are a hundredth off.
"""

import string
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from depthgauge import ItemTask, Testbed
from depthgauge.core.errors import HarnessError, NotTestable
from depthgauge.core.testbed import Item, Text, Word
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import LOADED, prepare_libraries
from depthgauge.page.tables import markdown
from depthgauge.probes.activations import ActivationDifference
from depthgauge.probes.attention import HeadChange, MarkedText
from depthgauge.probes.circuits import Circuits
from depthgauge.probes.divergence import NextToken
from depthgauge.probes.greedy_entropy import GreedyEntropy, Opening
from depthgauge.probes.sinks import TOKENS, Passage, Sinks
from depthgauge.probes.stopping.probe import Stopping
from depthgauge.probes.stopping.settings import ShortQuestion
from depthgauge.probes.weights import WeightDeltas
from depthgauge.store.folders import Store
from depthgauge.tasks import ItemTaskProbe
from depthgauge_suites.articles.noise_trace import Landmarks, NoiseTrace, TraceQuestion
from depthgauge_suites.articles.tokenization import Compound, Tokenization

TABLE = Path(__file__).parents[1] / "docs" / "families.md"
LETTERS = string.ascii_letters + string.digits + " .,:'?!"
VOCABULARY, CONTEXT, WINDOW, LAYERS = 2 + len(LETTERS), 128, 24, 3

# -- the families: name, and what makes them small ------------------------------------------------------------------

END = dict(bos_token_id=None, eos_token_id=0, pad_token_id=1)
ROUGH = dict(initializer_range=0.3)  # so that attention is far from uniform
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
    max_position_embeddings=CONTEXT, **END, **ROUGH,
)  # fmt: skip
GROUPED = SHAPE | dict(num_key_value_heads=2)
GPT = dict(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=LAYERS, n_head=4, **END, **ROUGH)
LOCAL = dict(layer_types=["sliding_attention", "full_attention", "sliding_attention"], sliding_window=WINDOW)
EXPERTS = dict(num_local_experts=4, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
GEMMA = GROUPED | dict(head_dim=16, query_pre_attn_scalar=16)
CAPS = dict(attn_logit_softcapping=5.0, final_logit_softcapping=10.0)
STATE = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=LAYERS, state_size=8, conv_kernel=4, expand=2, **END
)  # fmt: skip
MAMBA = dict(mamba_d_state=8, mamba_d_conv=4, mamba_expand=2, use_mamba_kernels=False)
HEADED_MAMBA = dict(mamba_n_heads=4, mamba_d_head=16, mamba_n_groups=1, mamba_chunk_size=8, **MAMBA)
LATENT = dict(
    kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, n_routed_experts=4,
    num_experts_per_tok=2, moe_intermediate_size=32, n_group=2, topk_group=1, first_k_dense_replace=1,
    num_mtp_layers=0,
)  # fmt: skip
LINEAR = dict(
    linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8, head_dim=8,
    shared_expert_intermediate_size=32, layer_types=["linear_attention", "full_attention", "linear_attention"],
)  # fmt: skip

FAMILIES: dict[str, Mapping[str, Any]] = {
    "llama": GROUPED,
    "mistral": GROUPED | dict(sliding_window=WINDOW),
    "mixtral": GROUPED | EXPERTS,
    "qwen2": GROUPED,
    "qwen3": GROUPED | dict(head_dim=16),
    "qwen3_moe": GROUPED | EXPERTS | dict(head_dim=16),
    "gemma": GROUPED | dict(head_dim=16),
    "gemma2": GEMMA | CAPS | LOCAL,
    "gemma3_text": GEMMA | LOCAL,
    "phi3": GROUPED,
    "phi": SHAPE,
    "olmo2": GROUPED,
    "cohere": GROUPED,
    "cohere2": GROUPED | LOCAL,
    "stablelm": GROUPED,
    "granite": GROUPED,
    "smollm3": GROUPED,
    "starcoder2": GROUPED | dict(sliding_window=None),
    "nemotron": GROUPED,
    "glm4": GROUPED | dict(head_dim=16),
    "deepseek_v3": SHAPE | LATENT,
    "gpt_oss": GROUPED | EXPERTS | LOCAL | dict(head_dim=16),
    "gpt2": GPT,
    "gpt_neox": SHAPE,
    "gptj": GPT | dict(rotary_dim=4),
    "gpt_neo": dict(
        vocab_size=VOCABULARY, hidden_size=32, num_layers=LAYERS, num_heads=4, max_position_embeddings=CONTEXT,
        attention_types=[[["global", "local", "global"], 1]], window_size=WINDOW, intermediate_size=48, **END, **ROUGH,
    ),
    "opt": SHAPE | dict(ffn_dim=48, word_embed_proj_dim=32, init_std=0.3),
    "bloom": dict(vocab_size=VOCABULARY, hidden_size=32, n_layer=LAYERS, n_head=4, seq_length=CONTEXT, **END, **ROUGH),
    "falcon": SHAPE | dict(new_decoder_architecture=True, num_kv_heads=2),
    "mpt": dict(
        vocab_size=VOCABULARY, d_model=32, n_layers=LAYERS, n_heads=4, max_seq_len=CONTEXT, expansion_ratio=2, **END,
        **ROUGH,
    ),
    "codegen": GPT | dict(rotary_dim=4, n_ctx=CONTEXT),
    "qwen3_next": GROUPED | EXPERTS | LINEAR,
    "jamba": GROUPED | EXPERTS | MAMBA | dict(attn_layer_period=2, attn_layer_offset=1),
    "bamba": GROUPED | HEADED_MAMBA | dict(attn_layer_indices=[1]),
    "falcon_h1": GROUPED | HEADED_MAMBA | dict(mamba_d_ssm=64),
    "zamba2": GROUPED | MAMBA | dict(
        n_mamba_heads=4, mamba_headdim=16, mamba_ngroups=1, chunk_size=8, num_mem_blocks=1,
        layers_block_type=["mamba", "hybrid", "mamba"],
    ),
    "lfm2": GROUPED | dict(layer_types=["conv", "full_attention", "conv"]),
    "recurrent_gemma": GROUPED | dict(
        lru_width=32, attention_window_size=WINDOW, block_types=["recurrent", "attention", "recurrent"]
    ),
    "mamba": STATE,
    "mamba2": STATE | dict(num_heads=4, head_dim=16, n_groups=1, chunk_size=8),
    "falcon_mamba": STATE,
    "rwkv": dict(
        vocab_size=VOCABULARY, hidden_size=32, attention_hidden_size=32, intermediate_size=48,
        num_hidden_layers=LAYERS, context_length=CONTEXT, **END,
    ),
}  # fmt: skip


def random_model(family: str, seed: int = 0, **fields: Any) -> Any:
    """The family's model with random weights, those of norms and biases too: fresh ones, 1 or 0, mean nothing. `fields`
    stand in place of those of its configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **deepcopy(dict(FAMILIES[family])) | fields)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and name.endswith(("weight", "bias")):
                parameter += 0.1 * torch.randn(parameter.shape)
    return model


def noisy(model: Any, seed: int = 1) -> Any:
    """A copy whose matrices are a hundredth of their own spread off."""
    import torch

    other, generator = deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim > 1:
                weight += 0.01 * weight.std() * torch.randn(weight.shape, generator=generator)
    return other


def tokenizer() -> Any:
    """Single characters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<end>": 0, "<pad>": 1} | {letter: 2 + i for i, letter in enumerate(LETTERS)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<end>", pad_token="<pad>", padding_side="left", model_max_length=CONTEXT
    )


def save_pair(family: str, folder: Path) -> tuple[Path, Path]:
    """Two checkpoint folders of the family: a random model, and a noisy copy."""
    model = random_model(family)
    pair = folder / "candidate", folder / "baseline"
    for one, where in zip((model, noisy(model)), pair, strict=True):
        one.save_pretrained(where)
        tokenizer().save_pretrained(where)
    return pair


# -- what is measured -----------------------------------------------------------------------------------------------

SENTENCES = ("The acid turned it red.", "Salt is made of two ions.", "It boils at a hundred degrees.")
FORMULAE = {"salt": "NaCl", "acid": "HCl", "base": "NaOH", "water": "H2O"}


def items() -> list[Item]:
    return [Item(id=str(i), prompt=text, answer="yes", options=("yes", "no")) for i, text in enumerate(SENTENCES)]


def spoken() -> list[Item]:
    return [Item(id=str(i), prompt=text, answer="yes") for i, text in enumerate(SENTENCES)]


def compounds() -> list[Compound]:
    return [
        Compound(text=f"{place} {formula}", name=f"{place} {name}", label=name, fold=place)
        for name, formula in FORMULAE.items()
        for place in ("a", "the", "some")
    ]


CHOSEN, SPOKEN = ItemTask(name="chosen", items=items), ItemTask(name="spoken", items=spoken, max_answer_tokens=4)
TEXTS = (*(Text(text=text) for text in SENTENCES), Text(text="", turns=(("user", "What is salt?"),)))
PASSAGES = tuple(Passage((text * TOKENS)[: 3 * TOKENS // 2]) for text in SENTENCES)
MARKED = tuple(MarkedText(text=f"a {formula} in it", terms=(formula,)) for formula in FORMULAE.values())
QUESTIONS = (TraceQuestion(prompt="Is it acid?", right="yes", wrong="no"),)
WORDS = tuple(Word(text=text, kind="formula") for text in FORMULAE.values())
TESTBED = Testbed(
    name="families",
    tasks=(CHOSEN, SPOKEN),
    probe_inputs={Landmarks: lambda: (Landmarks(late=(2,), spike=1),)},
    threads=1,
)


class Column(NamedTuple):
    """One column of the table: what asks a pair of candidates, and which of its arrays say that it was slow."""

    name: str
    ask: Callable[[CheckpointSet, CheckpointSet], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Direct logit attribution: no probe of its own, and so asked here as one. Arrays of `LogitAttribution`."""

    name = "attribution"
    version = 1
    description = "logit attribution"

    def parameters(self, _: Any) -> Mapping[str, Any]:
        return {}

    def check(self, _: Any) -> None:
        pass

    def run(self, one: Any) -> Mapping[str, Any]:
        from depthgauge.models.logit_attribution import logit_attribution

        prompts = [one.tokenizer(text)["input_ids"] for text in SENTENCES]
        return logit_attribution(one.model, prompts, [[2, 3]] * len(prompts))._asdict()


def of_one(*probes: Any) -> Callable[[CheckpointSet, CheckpointSet], list[Mapping[str, Any]]]:
    return lambda candidate, baseline: [taken.arrays for probe in probes for taken in candidate.measure(probe)]


def of_two(probe: Any) -> Callable[[CheckpointSet, CheckpointSet], list[Mapping[str, Any]]]:
    return lambda candidate, baseline: [taken.arrays for taken in candidate.compare(probe, baseline)]


COLUMNS = (
    Column("tasks", of_one(ItemTaskProbe(task=CHOSEN), ItemTaskProbe(task=SPOKEN))),
    Column("answers end", of_one(Stopping(questions=tuple(ShortQuestion(text, text) for text in SENTENCES)))),
    Column("entropy", of_one(GreedyEntropy(openings=tuple(map(Opening, SENTENCES))))),
    Column("tokenization", of_one(Tokenization(words=WORDS, compounds=tuple(compounds())))),
    Column("divergence", of_two(NextToken(texts=TEXTS))),
    Column("activations", of_two(ActivationDifference(texts=TEXTS))),
    Column("weights", of_two(WeightDeltas())),
    Column("noise trace", of_one(NoiseTrace(questions=QUESTIONS))),
    Column("attention", of_two(HeadChange(texts=MARKED))),
    Column("sinks", of_one(Sinks(passages=PASSAGES))),
    Column("circuits", of_one(Circuits())),
    Column("attribution", of_one(Attribution())),
)

# -- the table ------------------------------------------------------------------------------------------------------

HEAD = """# Families

Which probe gives numbers on which family of models, tried on random tiny ones of three layers by `make families`, which
writes this page. *slowly*: the noise trace by full runs where its fast form does not hold, or attentions that the model
returns in eager mode where they cannot be intercepted. *not defined*: NOT_TESTABLE in a report, with the sentence whose
number stands there. Entropy, loops and diversity are of the greedy trace; attribution is a function of
`depthgauge.probes.circuits`.
"""
MEASURED, SLOWLY, UNDEFINED, FAILED = "measured", "slowly", "not defined", "failed"


class Cell(NamedTuple):
    """What a probe says of a family; `sentence` where it is not defined, or failed."""

    word: str
    sentence: str = ""


def cell(column: Column, candidate: CheckpointSet, baseline: CheckpointSet) -> Cell:
    """Any error but a refusal is a fault of the package, and shown as one."""
    try:
        found = column.ask(candidate, baseline)
    except NotTestable as error:
        return Cell(UNDEFINED, str(error).replace(f"{candidate.checkpoints[0].folder}", "the folder"))
    except HarnessError as error:
        return Cell(FAILED, f"{type(error).__name__}: {error}")
    return Cell(SLOWLY if any(map(slow, found)) else MEASURED)


def slow(arrays: Mapping[str, Any]) -> bool:
    """Whether full runs stand for the fast form, or attentions that were returned for those that are intercepted."""
    return not np.all(arrays.get("fast", True)) or bool(np.any(arrays.get("eager", False)))


def row(family: str) -> list[Cell]:
    """The family's cells, in the order of the columns; nothing is left on disk."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context = RunContext(testbed=TESTBED, store=Store(folder / "store", run="families"), tell=lambda _: None)
        pair = zip(("candidate", "baseline"), save_pair(family, folder), strict=True)
        candidate, baseline = (CheckpointSet(name=name, folder=where, context=context) for name, where in pair)
        found = [cell(column, candidate, baseline) for column in COLUMNS]
    LOADED.clear()
    return found


def rows(families: Sequence[str]) -> dict[str, list[Cell]]:
    found = {}
    for family in families:
        print(f"trying {family}", flush=True)
        found[family] = row(family)
    return found


def page(found: Mapping[str, Sequence[Cell]]) -> str:
    """The table as docs/families.md has it, its sentences as notes below; the same sentence is one note."""
    notes: dict[str, int] = {}
    body = []
    for family, cells in found.items():
        marks = [notes.setdefault(one.sentence, len(notes) + 1) if one.sentence else 0 for one in cells]
        body.append([family, *(f"{one.word} {mark or ''}".strip() for one, mark in zip(cells, marks, strict=True))])
    table = markdown(["family", *(column.name for column in COLUMNS)], body)
    listed = "\n".join(f"{number}. {sentence}" for sentence, number in notes.items())
    return f"{HEAD}\n{table}\n\n{listed}\n"


def main() -> None:
    prepare_libraries(1)
    chosen = sys.argv[1:]
    text = page(rows(chosen or list(FAMILIES)))
    print(text)
    if not chosen:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
