"""A subject with attention: its checkpoints in Hugging Face format, and what a claim may ask of their circuits."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import models, modular
from harness.checkpoints import Checkpoints
from harness.errors import NotTestable
from harness.measurements import Arrays
from harness.probes import attention, circuits, head_scores
from harness.probes.inputs import check_same_heads
from harness.types import Checkpoint, Measurement, Profiles, Scores

CIRCUITS_VERSION = 3
SEQUENCES, LENGTH = 50, 20  # random tokens that are said twice; fewer where a model knows or holds fewer
PERMUTATIONS = 199
ABLATED_SHARE = 0.5  # heads with an induction score of at least this share of the best one's are ablated together
Kind = Literal["previous", "duplicate", "induction"]


class CircuitSubject(Checkpoints):
    """What a claim about attention heads is about. Layers and heads are 0-based."""

    def check_complete(self, folder: Path) -> None:
        models.check_folder(folder)

    def check_adopted(self, folder: Path) -> None:
        if modular.is_modular(folder):
            raise NotTestable(f"{folder} is a {modular.MODEL_TYPE} checkpoint, and this is asked of language models")
        models.check_folder(folder)
        models.check_finite(folder)

    def load(self, checkpoint: Checkpoint) -> tuple[Any, Any]:
        """The model and the tokenizer of one of the checkpoints."""
        return models.load(checkpoint.folder, self.context.device)

    def head_scores(self, kind: Kind) -> Profiles:
        """Per random sequence said twice, the score of every head: its mean attention at that offset, from 0 to 1."""
        values = np.stack([one.arrays[kind] for one in self.circuits()])
        return by_head(values, tuple(map(str, range(SEQUENCES))), "attention")

    def previous_below_induction(self) -> Profiles:
        """Previous-token scores of the heads in the layers below that of the best induction head.

        Raises: NotTestable if there is only one layer.
        """
        scores = self.head_scores("previous")
        below = min(int(one.arrays["best_induction"][0]) for one in self.circuits())
        if below == 0:
            raise NotTestable(f"{self.name!r} has one layer, and an induction head reads what a layer below it wrote")
        return scores.only(name for name in scores.columns if int(name.split()[1]) < below)

    def best_previous_of(self, base: "CircuitSubject") -> Scores:
        """Per sequence, the score here of the head that is the base's best previous-token head."""
        self._check_same_heads(base)
        scores = self.head_scores("previous")
        place = int(base.head_scores("previous").values.mean((0, 1)).argmax())
        return Scores(ids=scores.ids, values=scores.values[:, :, place], unit=scores.unit, population="prompts")

    def induction_left(self) -> Scores:
        """Per sequence, the best induction head's score without the best previous-token head below it, as a share."""
        return self._per_sequence("induction_left", "share of the score")

    def learning_in_context(self) -> Scores:
        """Per sequence, by how much its loss falls from the first saying to the second."""
        return self._per_sequence("learning", "nats")

    def learning_lost(self) -> Scores:
        """Per sequence, how much of `learning_in_context` is gone when the induction heads are ablated."""
        return self._per_sequence("learning_lost", "nats")

    def induction_copying(self) -> NDArray[np.float64]:
        """The copying score of each seed's best induction head, from -1 to 1: is what it reads made likelier?"""
        return np.array([one.arrays["copying"][tuple(one.arrays["best_induction"])] for one in self.circuits()])

    def composition_with_previous(self) -> NDArray[np.float64]:
        """How much the best induction head's keys read of the best previous-token head below, above chance, a seed.

        Raises: NotTestable if there is only one layer.
        """
        self.previous_below_induction()
        return np.array([float(one.arrays["k_composition"]) for one in self.circuits()])

    def copying_changed(self, base: "CircuitSubject") -> NDArray[np.float64]:
        """The largest change of a head's copying score against the base, a seed."""
        self._check_same_heads(base)
        before = base.circuits()[0].arrays["copying"]
        return np.array([np.abs(one.arrays["copying"] - before).max() for one in self.circuits()])

    def circuits(self) -> tuple[Measurement, ...]:
        """What `read_circuits` finds in each seed's checkpoint."""
        parameters = {"sequences": SEQUENCES, "length": LENGTH, "permutations": PERMUTATIONS}
        return self._measure("circuits", CIRCUITS_VERSION, parameters, self._read_circuits, "the circuits")

    def _check_same_heads(self, base: "CircuitSubject") -> None:
        """Raises: InvalidComparison unless there are as many layers and heads as in the base."""
        mine, its = (one.circuits()[0].arrays["copying"] for one in (self, base))
        check_same_heads(mine.shape, its.shape)

    def _read_circuits(self, checkpoint: Checkpoint) -> Arrays:
        return read_circuits(self.load(checkpoint)[0])

    def _per_sequence(self, array: str, unit: str) -> Scores:
        values = np.stack([one.arrays[array] for one in self.circuits()]).astype(float)
        return Scores(ids=tuple(map(str, range(SEQUENCES))), values=values, unit=unit, population="prompts")


def by_head(values: NDArray[np.floating], ids: tuple[str, ...], unit: str) -> Profiles:
    """Values (seeds, prompts, L, H) with a column for each head, 'layer 0 head 0' and so on."""
    seeds, prompts, layers, heads = values.shape
    columns = tuple(f"layer {layer} head {head}" for layer in range(layers) for head in range(heads))
    flat = values.reshape(seeds, prompts, layers * heads).astype(float)
    return Profiles(ids=ids, columns=columns, values=flat, unit=unit, population="prompts")


def read_circuits(model: Any) -> dict[str, NDArray[Any]]:
    """Head scores and circuits of one model on `SEQUENCES` random sequences of `LENGTH` tokens said twice.

    `previous`, `duplicate`, `induction` and `positional` (S, L, H), each with `..._p` (L, H), and `distance` (L, H) of
    the last; `copying` and `matching` (L, H), the eigenvalue scores of OV and QK; `ov_rank` and `qk_rank` (L, H),
    stable ranks; `best_induction` and `best_previous` (2,), the former above the first layer and the latter below it,
    if there are two layers; `k_composition` of these two heads, NaN in one layer; `learning`, `learning_lost` and
    `induction_left` (S,); `maps` (2, T, T) of the best previous-token and the best induction head on the first
    sequence.
    """
    length = min(LENGTH, models.vocabulary_size(model), models.context_length(model) // 2)
    sequences = head_scores.repeated_sequences(model, SEQUENCES, length)
    found = head_scores.head_scores(model, sequences, permutations=PERMUTATIONS)
    eigenvalues, spectra = circuits.eigenvalue_scores(model), circuits.circuit_spectra(model)
    means = found.scores.induction.mean(0)
    lowest = min(1, len(means) - 1)  # an induction head reads what a layer below it wrote
    layer, head = best(means[lowest:])
    induction = (layer + lowest, head)
    previous = best(found.scores.previous.mean(0)[: max(induction[0], 1)])
    losses = head_scores.in_context_loss(model, sequences)
    together = [(int(i), int(j)) for i, j in np.argwhere(means >= ABLATED_SHARE * means.max())]
    with head_scores.without_heads(model, together):
        ablated = head_scores.in_context_loss(model, sequences)
    with head_scores.without_heads(model, [previous]):
        left = head_scores.head_scores(model, sequences, permutations=1).scores.induction[:, *induction]
    apart = previous[0] < induction[0]
    composed = (
        circuits.composition(model, previous[0], induction[0]).key[previous[1], induction[1]] if apart else np.nan
    )
    maps = attention.attention_maps(model, sequences[0], [previous, induction])
    arrays: dict[str, NDArray[Any]] = {"maps": maps}
    for name in ("previous", "duplicate", "induction"):
        arrays[name] = getattr(found.scores, name)
        arrays[f"{name}_p"] = getattr(found.p_values, name)
    return arrays | {
        "positional": found.positional.share,
        "positional_p": found.positional.p_values,
        "distance": found.positional.distance,
        "copying": eigenvalues.ov,
        "matching": eigenvalues.qk,
        "ov_rank": circuits.stable_rank(spectra.ov),
        "qk_rank": circuits.stable_rank(spectra.qk),
        "best_induction": np.array(induction),
        "best_previous": np.array(previous),
        "k_composition": np.asarray(composed),
        "learning": losses.first - losses.repeated,
        "learning_lost": (losses.first - losses.repeated) - (ablated.first - ablated.repeated),
        "induction_left": left / found.scores.induction[:, *induction],
    }


def best(scores: NDArray[np.floating]) -> tuple[int, int]:
    """The (layer, head) of the largest score."""
    layer, head = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(layer), int(head)
