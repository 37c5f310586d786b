"""What is kept of a one-layer transformer: every number that claims read, from its weights alone."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge_suites.grokking.fourier import compute, transformer
from depthgauge_suites.grokking.fourier.settings import EXPLAINED, MOST_KEYS, RANK, Numbers

RANDOM_SETS = 50  # of as many frequencies as there are key frequencies
RANDOM_SEED = 0


def take_apart(weights: transformer.Weights, task: transformer.ModularTask) -> dict[str, NDArray[Any]]:
    """All measures of `probes.fourier` of one model. Losses are means in nats; frequencies count from 1.

    Numbers: `loss`, `train_loss`, `test_loss`; `test_accuracy`; `restricted_loss` and `restricted_train_loss`;
    `excluded_loss` (training pairs); `kept_loss` and `kept_train_loss` (every other frequency ablated);
    `random_restricted_loss` (the least of `RANDOM_SETS` sets); `least_ablated_loss`; `cosine_share`; `outside_share` of
    W_L, and its share `beyond_rank` 10; `gini_embedding`, `gini_logits`; `explained_neurons`; `own_attention` of '=';
    `skip_ablated_loss`; `guessing_loss`, ln p.

    Arrays: `key_frequencies` (F,); `ablated_losses` (F,); `head_ablated_losses` (H,); `embedding_norms` and
    `logit_norms` (P,); `neuron_frequency` and `neuron_share` (M,); `attention` (H, P, P) of '=' to a;
    `mean_attention` (H, 3); `head_frequency` and `head_share` (H,); `neuron_spectrum` (P, P) of the neuron that is
    explained best.
    """
    keys, p = compute.key_frequencies(weights), weights.p
    seen = compute.landscape(weights)
    trained, tested = (tuple(pairs.numpy().T) for pairs in task.split())
    logits, restricted = seen.logits, compute.pair_losses(compute.restricted(seen.logits, keys))
    losses, left_out = compute.pair_losses(logits), compute.pair_losses(compute.excluded(logits, keys))
    kept, right = compute.pair_losses(compute.kept(logits, keys)), compute.right(logits)
    ablated = np.array([compute.pair_losses(compute.excluded(logits, [k])).mean() for k in keys])
    fits, ablations = compute.neuron_fits(seen.neurons), compute.ablations(weights)
    embedding, to_logits = compute.embedding(weights), compute.logit_map(weights)
    best, heads = int(fits.max(0).argmax()), compute.head_fits(seen.attention[..., 0])
    numbers = {
        "loss": losses.mean(),
        "train_loss": losses[trained].mean(),
        "test_loss": losses[tested].mean(),
        "test_accuracy": right[tested].mean(),
        "restricted_loss": restricted.mean(),
        "restricted_train_loss": restricted[trained].mean(),
        "excluded_loss": left_out[trained].mean(),
        "kept_loss": kept.mean(),
        "kept_train_loss": kept[trained].mean(),
        "random_restricted_loss": least_random_loss(logits, len(keys)),
        "least_ablated_loss": ablated.min(),
        "cosine_share": compute.cosine_share(logits, keys),
        "outside_share": compute.outside(to_logits, strongest(to_logits, keys), axis=1),
        "beyond_rank": compute.beyond_rank(to_logits, RANK),
        "gini_embedding": compute.gini(compute.component_norms(embedding)),
        "gini_logits": compute.gini(compute.component_norms(to_logits, axis=1)),
        "explained_neurons": (fits.max(0) >= EXPLAINED).mean(),
        "own_attention": seen.attention[..., 2].mean((0, 1)).max(),
        "skip_ablated_loss": ablations.skip,
        "guessing_loss": np.log(p),
    }
    return {name: np.asarray(value) for name, value in numbers.items()} | {
        "key_frequencies": np.array(keys),
        "ablated_losses": ablated,
        "head_ablated_losses": ablations.heads,
        "embedding_norms": compute.component_norms(embedding),
        "logit_norms": compute.component_norms(to_logits, axis=1),
        "neuron_frequency": fits.argmax(0) + 1,
        "neuron_share": fits.max(0),
        "attention": seen.attention[..., 0].transpose(2, 0, 1).astype(np.float32),
        "mean_attention": seen.attention.mean((0, 1)),
        "head_frequency": heads.argmax(0) + 1,
        "head_share": heads.max(0),
        "neuron_spectrum": np.abs(compute.transform(seen.neurons[..., best], (0, 1))).astype(np.float32),
    }


def strongest(to_logits: Numbers, keys: tuple[int, ...]) -> list[int]:
    """The key frequencies, and the `MOST_KEYS` largest of them where nearly every frequency is one, as in noise."""
    norms = compute.frequency_norms(to_logits, axis=1)
    return sorted(keys, key=lambda k: -norms[k - 1])[:MOST_KEYS]


def least_random_loss(logits: Numbers, count: int) -> float:
    """The least restricted loss of sets of `count` frequencies drawn at random."""
    generator, every = np.random.default_rng(RANDOM_SEED), np.arange(1, (len(logits) - 1) // 2 + 1)
    sets = [generator.choice(every, size=count, replace=False) for _ in range(RANDOM_SETS)]
    return min(float(compute.pair_losses(compute.restricted(logits, chosen)).mean()) for chosen in sets)


def along_the_way(kept: list[Path], task: transformer.ModularTask, keys: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Progress measures of the weights in each file, by the key frequencies of the end: arrays (S,) beside `step`.

    `train_loss`, `test_loss`, `restricted_loss` (all pairs) and `excluded_loss` (training pairs) in nats;
    `gini_embedding`; `squared_weights`.
    """
    train, test = (tuple(pairs.numpy().T) for pairs in task.split())
    rows = []
    for path in kept:
        weights = transformer.load(path)
        if weights.p != task.p:
            raise InvalidCheckpoint(f"{path} has p = {weights.p}, and the training it is from {task.p}: copy it again.")
        logits = compute.landscape(weights).logits
        losses = compute.pair_losses(logits)
        rows.append(
            {
                "step": int(path.stem),
                "train_loss": losses[train].mean(),
                "test_loss": losses[test].mean(),
                "restricted_loss": compute.pair_losses(compute.restricted(logits, keys)).mean(),
                "excluded_loss": compute.pair_losses(compute.excluded(logits, keys))[train].mean(),
                "gini_embedding": compute.gini(compute.component_norms(compute.embedding(weights))),
                "squared_weights": sum(float(tensor.double().square().sum()) for tensor in weights),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
