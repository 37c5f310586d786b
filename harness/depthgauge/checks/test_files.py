"""What the files of two checkpoints say: the same tensors, configuration, tokenizer, chat template and generation."""

from depthgauge import Claim, Estimate, Expectation, Stage, at_most, claim
from depthgauge.checks.claims import change_claim
from depthgauge.probes import files
from depthgauge.stats import counted


def files_claim(name: str, statement: str, rationale: str, expect: Expectation | None = None) -> Claim:
    return change_claim(
        name, statement, at_most(0), "differences", rationale, control="corrupt_files", stage=Stage.FILES, expect=expect
    )


@claim(
    files_claim(
        "same-tensors",
        "holds the same tensors, of the same shapes",
        "a tensor that is left out is drawn at random without a word; shards and dtypes may differ",
    )
)
def test_it_holds_the_same_tensors(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "tensors"), estimand="tensors of other names or shapes")


@claim(
    files_claim(
        "same-configuration",
        "computes by the same configuration",
        "every field as transformers reads it, defaults included: rope, norms, heads, windows, ties",
    )
)
def test_its_configuration_computes_the_same(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "config"), estimand="fields of the configuration")


@claim(
    files_claim(
        "same-tokenizer",
        "cuts texts into the same tokens, and makes the same text of tokens",
        "words and their numbers, merges, normalisation, added tokens, decoder, padding side",
    )
)
def test_its_tokenizer_is_the_same(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "tokenizer"), estimand="parts of the tokenizer")


@claim(files_claim("same-chat-template", "speaks by the same chat template", "line by line"))
def test_its_chat_template_is_the_same(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "chat template"), estimand="lines of the chat template")


@claim(
    files_claim(
        "same-generation",
        "generates by the same settings where it is told none",
        "repetition penalty, temperature; as transformers derives them where no file says",
    )
)
def test_it_generates_by_the_same_settings(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "generation"), estimand="settings of generation")


@claim(
    files_claim(
        "same-special-tokens",
        "starts, ends and pads with the same tokens",
        "ids in the configuration and the settings of generation, and the tokenizer's special tokens",
        Expectation.EQUAL,
    )
)
def test_its_special_tokens_are_the_same(candidate, baseline) -> Estimate:
    return counted(*files.differences(candidate, baseline, "special tokens"), estimand="special tokens")


@claim(
    files_claim(
        "special-tokens-aligned",
        "starts, ends and pads with its tokenizer's tokens where it does with others than before",
        "trainers set the ids of configuration and generation to those of the tokenizer; other ids end nothing",
        Expectation.TRAINED,
    )
)
def test_its_special_tokens_are_those_of_its_tokenizer(candidate, baseline) -> Estimate:
    return counted(
        *files.differences(candidate, baseline, "unaligned special tokens"), estimand="ids that its tokenizer has not"
    )
