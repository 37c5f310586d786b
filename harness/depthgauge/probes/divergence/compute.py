"""KL(baseline || candidate) of what two models would say next, at every token, and what else one pass gives.

Shapes: P texts, B texts in a batch, T tokens, N rows of logits, V tokens in the vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.layerwise import run_ahead
from depthgauge.backends.pairs import NUMBERS, pair_batches
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.steps import counted
from depthgauge.models.anatomy import widened
from depthgauge.models.inputs import Tokens, check_prompts
from depthgauge.models.load import vocabulary_size

if TYPE_CHECKING:
    import torch

NOTHING = -1  # what follows the last token of a text
CACHED, STREAMED = 2**18, 2**24  # numbers reduced at once: what a CPU's cache holds, and what keeps a GPU busy


class NextTokens(NamedTuple):
    """What follows each token, all texts end to end: arrays of one length, the sum of the texts' lengths.

    `kl` in nats, and `reverse_kl` with the two in each other's place; `says`, `baseline_says` the likeliest next token
    of either model; `probability`, `baseline_probability` what the new and the baseline give to `baseline_says`;
    `log_likelihood`, `baseline_log_likelihood` of the token that does follow, in nats, NaN at the end of a text;
    `text_of` the index of the text.
    """

    kl: NDArray[np.float32]
    says: NDArray[np.int64]
    baseline_says: NDArray[np.int64]
    probability: NDArray[np.float32]
    baseline_probability: NDArray[np.float32]
    reverse_kl: NDArray[np.float32]
    log_likelihood: NDArray[np.float32]
    baseline_log_likelihood: NDArray[np.float32]
    text_of: NDArray[np.int64]


def next_tokens(candidate: Any, baseline: Any, token_ids: Tokens) -> NextTokens:
    """What `candidate` and `baseline` would say after every token of each text, the last one too.

    Every batch is run once by each model; a text so long that its logits do not fit is run once for each piece of them.

    Raises: NotTestable if the models know different numbers of tokens; StatisticUndefined without texts, or if one is
    empty, longer than a context, or has an unknown token; InvalidCheckpoint if a logit is not finite.
    """
    check_same_vocabulary(candidate, baseline)
    check_prompts(token_ids, 1, candidate, baseline)
    by_text: dict[int, NDArray[np.float64]] = {}
    chosen_batches = pair_batches(baseline, token_ids)
    run_ahead((baseline, candidate), [[token_ids[i] for i in chosen] for chosen in chosen_batches])
    for chosen in counted(chosen_batches):
        rows = compared_texts(candidate, baseline, [list(token_ids[i]) for i in chosen])
        by_text.update(zip(chosen, rows, strict=True))
    columns = np.concatenate([by_text[i] for i in range(len(token_ids))]).T
    kl, says, baseline_says, probability, baseline_probability, reverse_kl, log_likelihood, baseline_log_likelihood = (
        columns
    )
    return NextTokens(
        kl.astype(np.float32),
        says.astype(int),
        baseline_says.astype(int),
        probability.astype(np.float32),
        baseline_probability.astype(np.float32),
        reverse_kl.astype(np.float32),
        log_likelihood.astype(np.float32),
        baseline_log_likelihood.astype(np.float32),
        np.repeat(np.arange(len(token_ids)), [len(ids) for ids in token_ids]),
    )


def check_same_vocabulary(candidate: Any, baseline: Any) -> None:
    """Raises: NotTestable unless both models choose among as many tokens."""
    sizes = vocabulary_size(candidate), vocabulary_size(baseline)
    if sizes[0] != sizes[1]:
        raise NotTestable(
            "one model chooses among {} tokens and the other among {}: what they say next has no divergence".format(
                *sizes
            )
        )


def compared_texts(candidate: Any, baseline: Any, ids: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The columns of `compare` for texts of one length: (B, T, 8)."""
    import torch

    pieces = []
    follows = torch.tensor([[*text[1:], NOTHING] for text in ids])
    for places in pieces_of(len(ids), len(ids[0]), vocabulary_size(baseline)):
        pair = [logits(model, ids, places).flatten(0, 1) for model in (baseline, candidate)]
        device = pair[0].device
        columns = reduced(pair[0], pair[1].to(device), follows[:, list(places)].flatten().to(device))
        if not bool(columns[:, 0].isfinite().all()):
            raise InvalidCheckpoint(side_at_fault(*pair), code="not-finite")
        pieces.append(columns.view(len(ids), len(places), -1))
    return torch.cat(pieces, dim=1).cpu().numpy()


def pieces_of(texts: int, tokens: int, vocabulary: int) -> Iterator[range]:
    """The positions of a batch in pieces, whose logits of both models are at most NUMBERS: nearly always one piece."""
    size = max(1, NUMBERS // (2 * vocabulary * texts))
    return (range(start, min(start + size, tokens)) for start in range(0, tokens, size))


def logits(model: Any, ids: Sequence[Sequence[int]], places: range) -> "torch.Tensor":
    """The logits at some places, in float32 or better: (B, places, V)."""
    import torch

    batch = torch.tensor(ids, device=model.device)
    some = {"logits_to_keep": torch.tensor(places, device=model.device)} if len(places) < batch.shape[1] else {}
    with torch.inference_mode():
        return widened(model(input_ids=batch, use_cache=False, **some).logits)


def side_at_fault(baseline: "torch.Tensor", candidate: "torch.Tensor") -> str:
    side = "candidate" if bool(baseline.isfinite().all()) else "baseline"
    return f"the {side} model computes logits that are NaN or infinite: train or save it again."


def reduced(baseline_NV: "torch.Tensor", candidate_NV: "torch.Tensor", follows_N: "torch.Tensor") -> "torch.Tensor":
    """`compare` of all rows, a few at a time, so that what is computed in between stays near the processor."""
    import torch

    rows = max(1, (CACHED if baseline_NV.device.type == "cpu" else STREAMED) // baseline_NV.shape[1])
    parts = (torch.split(x, rows) for x in (baseline_NV, candidate_NV, follows_N))
    return torch.cat([compare(*part) for part in zip(*parts, strict=True)])


def compare(baseline_NV: "torch.Tensor", candidate_NV: "torch.Tensor", follows_N: "torch.Tensor") -> "torch.Tensor":
    """KL(baseline || candidate), both likeliest tokens, what the new and the baseline give to the baseline's,
    KL(candidate || baseline), and the log-likelihood in the new and the baseline of what follows: (N, 8), float64.

    With p the baseline's probabilities, d the difference of the logits, and x = d - sum(p d), the divergence is
    log sum(p exp(x)) = log(1 + sum(p (exp(x) - 1 - x))), as sum(p x) is 0. No term is below 0 or the difference of
    large ones: equal logits give 0, and tiny divergences keep their digits. The candidate's probabilities are
    p exp(x - kl), so that the other divergence is exp(-kl) sum(p x (exp(x) - 1)) - kl.
    """
    import torch

    p, x = baseline_NV.softmax(-1), candidate_NV - baseline_NV
    x -= torch.linalg.vecdot(p, x)[:, None]
    grown = torch.expm1(x)
    kl = torch.log1p(torch.linalg.vecdot(p, grown - x)).double().clamp_min(0)
    reverse = ((-kl).exp() * torch.linalg.vecdot(p * x, grown).double() - kl).clamp_min(0)
    says, baseline_says = candidate_NV.argmax(-1), baseline_NV.argmax(-1)
    places = torch.stack([baseline_says, follows_N.clamp_min(0)], dim=-1)
    logits, moved = (values.gather(1, places).double() for values in (baseline_NV, x))
    log_p = p.gather(1, baseline_says[:, None]).double().log() + logits - logits[:, :1]
    log_q = log_p + moved - kl[:, None]
    far = ~(kl.isfinite() & reverse.isfinite())
    if bool(far.any()):
        kl[far], reverse[far], log_q[far] = of_far_rows(baseline_NV[far], candidate_NV[far], places[far])
    last = follows_N == NOTHING
    log_p[:, 1][last] = log_q[:, 1][last] = torch.nan
    return torch.stack(
        [
            kl, says.double(), baseline_says.double(), log_q[:, 0].exp(), log_p[:, 0].exp(), reverse, log_q[:, 1],
            log_p[:, 1],
        ],
        dim=-1,
    )  # fmt: skip


def of_far_rows(
    baseline_NV: "torch.Tensor", candidate_NV: "torch.Tensor", places: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Both divergences, by their definition in float64, of logits so far apart that float32 has no exponential, and the
    candidate's log-probabilities at some places of each row.
    """
    baseline, candidate = baseline_NV.double().log_softmax(-1), candidate_NV.double().log_softmax(-1)
    kl, reverse = (
        (first.exp() * (first - second)).sum(-1) for first, second in ((baseline, candidate), (candidate, baseline))
    )
    return kl, reverse, candidate.gather(1, places)
