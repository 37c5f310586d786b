"""What the tokenizer makes of formulae and isotopes, and whether the model puts the pieces together again.

Dangi 2026a: chemical symbols reach the model as "disjointed, uninformative sub-tokens", and the early MLPs that changed
most should fuse them. Layers are 0-based. Shapes: N texts, L layers, H heads, T tokens, K classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.anatomy import blocks, edited_blocks

if TYPE_CHECKING:
    import torch

RIDGE = 1e-2  # of the mean variance of a feature


def fragments(tokenizer: Any, words: Sequence[str]) -> NDArray[np.int64]:
    """Into how many tokens each word falls when it follows a space. Shape (words,)."""
    return np.array([len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) for word in words])


def last_token_states(model: Any, token_ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The residual stream at the last token: after the embedding (place 0) and after block l (place l + 1).

    Shape (N, L + 1, hidden).
    """
    import torch

    last_states = np.empty(
        (len(token_ids), len(blocks(model)) + 1, model.config.get_text_config().hidden_size), np.float32
    )
    for n, ids in enumerate(token_ids):

        def keep(layer: int, states: "torch.Tensor", n: int = n) -> "torch.Tensor":
            last_states[n, layer + 1] = states[0, -1].float().cpu().numpy()
            return states

        row = torch.tensor([list(ids)], device=model.device)
        with torch.inference_mode(), edited_blocks(model, keep):
            last_states[n, 0] = model.get_input_embeddings()(row)[0, -1].float().cpu().numpy()
            model(input_ids=row, use_cache=False)
    return last_states


def read_out(
    states: NDArray[np.floating], labels: Sequence[str], folds: Sequence[str], *, shuffle_seed: int | None = None
) -> NDArray[np.bool_]:
    """Whether a linear read-out of each state names its text's label. Shape (N, places).

    Ridge regression onto one-hot labels (Hoerl and Kennard 1970), trained on all folds but the text's own; features are
    centred and scaled on the training part. With a `shuffle_seed`, labels are shuffled before training: what the
    read-out then names is what it would name by chance (the control task of Hewitt and Liang 2019).

    Raises: StatisticUndefined with fewer than two labels or folds, or a label that is in one fold only.
    """
    classes, of_text = np.unique(labels, return_inverse=True)
    names = np.asarray(folds)
    if len(classes) < 2 or len(set(folds)) < 2:
        raise StatisticUndefined(
            f"a read-out needs two labels and two folds, got {len(classes)} and {len(set(folds))}.", code="too-few"
        )
    lonely = [c for i, c in enumerate(classes) if len(set(names[of_text == i])) < 2]
    if lonely:
        raise StatisticUndefined(
            f"the label {str(lonely[0])!r} is in one fold only, and could not be learnt from the others."
        )
    known = of_text if shuffle_seed is None else np.random.default_rng(shuffle_seed).permutation(of_text)
    right = np.zeros(states.shape[:2], bool)
    for fold in sorted(set(folds)):
        held = names == fold
        for place in range(states.shape[1]):
            named = ridge_names(states[~held, place], known[~held], states[held, place], len(classes))
            right[held, place] = named == of_text[held]
    return right


def ridge_names(
    seen: NDArray[np.floating], labels: NDArray[np.intp], unseen: NDArray[np.floating], classes: int
) -> NDArray[np.intp]:
    """The class that a ridge regression trained on `seen` gives each row of `unseen`."""
    middle, spread = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    x, y = (seen - middle) / spread, np.eye(classes)[labels]
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    return np.asarray(((unseen - middle) / spread @ weights + y.mean(axis=0)).argmax(axis=1))
