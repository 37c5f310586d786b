"""A subject on modular addition: its checkpoints, and all that a claim may ask of them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import modular
from harness.checkpoints import Checkpoints, training_log
from harness.errors import InvalidCheckpoint, NotTestable
from harness.measurements import Arrays
from harness.probes import fourier
from harness.store import sha256
from harness.types import Checkpoint, Measurement, Recipe, digest

FOURIER_VERSION = 2
RANK = 10  # of W_L in Nanda et al. (2023, section 4.2): two directions for each of five key frequencies
MOST_KEYS = 10  # that a model which computes with a few frequencies can have
TRAJECTORY = "trajectory"
RANDOM_SETS = 50  # of as many frequencies as there are key frequencies
RANDOM_SEED = 0
Numbers = NDArray[np.float64]


class ModularSubject(Checkpoints):
    """What a claim about sums modulo p is about. Where nothing else is said, an array holds a number a seed."""

    def check_complete(self, folder: Path) -> None:
        modular.load_checkpoint(folder)

    def check_adopted(self, folder: Path) -> None:
        modular.load_checkpoint(folder)

    def _train(self, workshop: Path, recipe: Recipe) -> None:
        """One training at a time: each takes all threads, and two at once would take several times as long."""
        with self.context.store.alone("training"):
            super()._train(workshop, recipe)

    def final(self, name: str) -> Numbers:
        """One number of `fourier_measures`: what the weights at the end of training compute."""
        return np.array([float(one.arrays[name]) for one in self.fourier_measures()])

    def key_count(self) -> Numbers:
        """How many frequencies reach the logits."""
        return np.array([float(len(one.arrays["key_frequencies"])) for one in self.fourier_measures()])

    def over_full(self, name: str) -> Numbers:
        """A loss of `fourier_measures` over the full loss on all pairs."""
        return self.final(name) / self.final("loss")

    def worst_over_full(self, part: str) -> Numbers:
        """The loss of a part of the logits, 'restricted' or 'kept', over the full one: the larger ratio of
        that on all pairs and that on training pairs.
        """
        on_training = self.final(f"{part}_train_loss") / self.final("train_loss")
        return np.maximum(self.over_full(f"{part}_loss"), on_training)

    def excluded_over_guessing(self) -> Numbers:
        """The excluded loss on training pairs over that of a guess among p, ln p."""
        return self.final("excluded_loss") / self.final("guessing_loss")

    def random_over_key(self) -> Numbers:
        """The least restricted loss of random frequencies over that of the key frequencies."""
        return self.final("random_restricted_loss") / self.final("restricted_loss")

    def formed_before_shown(self) -> Numbers:
        """The excluded loss over its least before, at the last kept step whose test loss is above half its largest."""
        return np.array([formed_before_shown(one.arrays) for one in self.trajectories()])

    def largest_jump(self) -> Numbers:
        """By how much the train loss rose at most, as a ratio to its least value before, after it fell below 1e-4.

        Raises: NotTestable if a checkpoint has no training log, or one without train losses.
        """
        for checkpoint in self.checkpoints:
            self._note(checkpoint)
        logs = [training_log(one) for one in self.checkpoints]
        if not all(log and all("train_loss" in row for row in log) for log in logs):
            raise NotTestable(f"the training log of {self.name!r} has no train losses")
        return np.array([largest_jump(np.array([row["train_loss"] for row in log])) for log in logs])

    def fourier_measures(self) -> tuple[Measurement, ...]:
        """What `take_apart` finds in each seed's last weights."""
        return self._measure("fourier", FOURIER_VERSION, {}, self._take_apart, "the frequencies")

    def trajectories(self) -> tuple[Measurement, ...]:
        """What `along_the_way` finds in the weights kept during each seed's training."""
        taken = []
        for one in self.checkpoints:
            parameters = {"snapshots": digest({path.name: sha256(path) for path in snapshots(one)})}
            what = "progress during training"
            taken.append(self._measure_one("progress", FOURIER_VERSION, parameters, self._along_the_way, what, one))
            self._note(one, taken[-1].key)
        return tuple(taken)

    def _take_apart(self, checkpoint: Checkpoint) -> Arrays:
        return take_apart(*modular.load_checkpoint(checkpoint.folder))

    def _along_the_way(self, checkpoint: Checkpoint) -> Arrays:
        weights, task = modular.load_checkpoint(checkpoint.folder)
        kept = snapshots(checkpoint)
        if not kept:
            raise NotTestable(f"{checkpoint.name!r} has no weights from the way of its training")
        return along_the_way(kept, task, fourier.key_frequencies(weights))


def snapshots(checkpoint: Checkpoint) -> list[Path]:
    """The weights kept on the way of a training, in their order."""
    return sorted((checkpoint.folder / TRAJECTORY).glob(modular.SNAPSHOTS))


def take_apart(weights: modular.Weights, task: modular.ModularTask) -> dict[str, NDArray[Any]]:
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
    keys, p = fourier.key_frequencies(weights), weights.p
    seen = fourier.landscape(weights)
    trained, tested = (tuple(pairs.numpy().T) for pairs in task.split())
    logits, restricted = seen.logits, fourier.pair_losses(fourier.restricted(seen.logits, keys))
    losses, left_out = fourier.pair_losses(logits), fourier.pair_losses(fourier.excluded(logits, keys))
    kept, right = fourier.pair_losses(fourier.kept(logits, keys)), fourier.right(logits)
    ablated = np.array([fourier.pair_losses(fourier.excluded(logits, [k])).mean() for k in keys])
    fits, ablations = fourier.neuron_fits(seen.neurons), fourier.ablations(weights)
    embedding, to_logits = fourier.embedding(weights), fourier.logit_map(weights)
    best, heads = int(fits.max(0).argmax()), fourier.head_fits(seen.attention[..., 0])
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
        "cosine_share": fourier.cosine_share(logits, keys),
        "outside_share": fourier.outside(to_logits, strongest(to_logits, keys), axis=1),
        "beyond_rank": fourier.beyond_rank(to_logits, RANK),
        "gini_embedding": fourier.gini(fourier.component_norms(embedding)),
        "gini_logits": fourier.gini(fourier.component_norms(to_logits, axis=1)),
        "explained_neurons": (fits.max(0) >= fourier.EXPLAINED).mean(),
        "own_attention": seen.attention[..., 2].mean((0, 1)).max(),
        "skip_ablated_loss": ablations.skip,
        "guessing_loss": np.log(p),
    }
    return {name: np.asarray(value) for name, value in numbers.items()} | {
        "key_frequencies": np.array(keys),
        "ablated_losses": ablated,
        "head_ablated_losses": ablations.heads,
        "embedding_norms": fourier.component_norms(embedding),
        "logit_norms": fourier.component_norms(to_logits, axis=1),
        "neuron_frequency": fits.argmax(0) + 1,
        "neuron_share": fits.max(0),
        "attention": seen.attention[..., 0].transpose(2, 0, 1).astype(np.float32),
        "mean_attention": seen.attention.mean((0, 1)),
        "head_frequency": heads.argmax(0) + 1,
        "head_share": heads.max(0),
        "neuron_spectrum": np.abs(fourier.transform(seen.neurons[..., best], (0, 1))).astype(np.float32),
    }


def strongest(to_logits: Numbers, keys: tuple[int, ...]) -> list[int]:
    """The key frequencies, and the `MOST_KEYS` largest of them where nearly every frequency is one, as in noise."""
    norms = fourier.frequency_norms(to_logits, axis=1)
    return sorted(keys, key=lambda k: -norms[k - 1])[:MOST_KEYS]


def least_random_loss(logits: Numbers, count: int) -> float:
    """The least restricted loss of sets of `count` frequencies drawn at random."""
    generator, every = np.random.default_rng(RANDOM_SEED), np.arange(1, (len(logits) - 1) // 2 + 1)
    sets = [generator.choice(every, size=count, replace=False) for _ in range(RANDOM_SETS)]
    return min(float(fourier.pair_losses(fourier.restricted(logits, chosen)).mean()) for chosen in sets)


def along_the_way(kept: list[Path], task: modular.ModularTask, keys: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Progress measures of the weights in each file, by the key frequencies of the end: arrays (S,) beside `step`.

    `train_loss`, `test_loss`, `restricted_loss` (all pairs) and `excluded_loss` (training pairs) in nats;
    `gini_embedding`; `squared_weights`.
    """
    train, test = (tuple(pairs.numpy().T) for pairs in task.split())
    rows = []
    for path in kept:
        weights = modular.load(path)
        if weights.p != task.p:
            raise InvalidCheckpoint(f"{path} has p = {weights.p}, and the training it is from {task.p}: copy it again.")
        logits = fourier.landscape(weights).logits
        losses = fourier.pair_losses(logits)
        rows.append(
            {
                "step": int(path.stem),
                "train_loss": losses[train].mean(),
                "test_loss": losses[test].mean(),
                "restricted_loss": fourier.pair_losses(fourier.restricted(logits, keys)).mean(),
                "excluded_loss": fourier.pair_losses(fourier.excluded(logits, keys))[train].mean(),
                "gini_embedding": fourier.gini(fourier.component_norms(fourier.embedding(weights))),
                "squared_weights": sum(float(tensor.double().square().sum()) for tensor in weights),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def onset(progress: Arrays) -> int:
    """The index of the last kept weights whose test loss is at least half of its largest."""
    test = progress["test_loss"]
    return int(np.flatnonzero(test >= test.max() / 2)[-1])


def formed_before_shown(progress: Arrays) -> float:
    excluded = progress["excluded_loss"][: onset(progress) + 1]
    return float(excluded[-1] / excluded.min())


def phases(progress: Arrays) -> tuple[int, int, int]:
    """The steps at which memorisation, circuit formation and clean-up end (Nanda et al. 2023, section 5.2).

    Memorisation ends where the excluded loss is least; circuit formation where the test loss has come half of its way
    down; clean-up with the training.
    """
    shown = onset(progress)
    memorised = int(progress["excluded_loss"][: shown + 1].argmin())
    return int(progress["step"][memorised]), int(progress["step"][shown]), int(progress["step"][-1])


def largest_jump(losses: Numbers) -> float:
    """The largest ratio of a loss to the least before it, once that is below 1e-4; 1 if it never falls so far."""
    least = np.minimum.accumulate(losses)[:-1]
    ratios = (losses[1:] / least)[least < 1e-4]
    return float(max(ratios.max(initial=1.0), 1.0))
