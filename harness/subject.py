"""A subject: a method's checkpoints, and all that a claim may ask of them. What was measured before is read again."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import exams, models
from harness.checkpoints import training_log
from harness.circuit_subject import CircuitSubject, by_head
from harness.errors import NotTestable
from harness.measurements import Arrays
from harness.probes import attention, diversity, entropy, noise_trace, tokenization, weights
from harness.types import Checkpoint, LanguageTestbed, Measurement, Profiles, Scores, digest, language

ENTROPY_VERSION = 1
NOISE_VERSION = 1
WEIGHTS_VERSION = 2
ATTENTION_VERSION = 1
TOKENIZATION_VERSION = 1
SINKS_VERSION = 1
SINK_TOKENS = 64  # of Gu et al. (2025): alpha_1 of even attention falls with the length
COPYING_SCALE = 0.6
RIGHT, WRONG = 0, 1  # the targets of a noise trace
MAPPED_HEADS = 4  # the most changed heads, whose maps are kept for a picture
SHUFFLE_SEED = 0


class Subject(CircuitSubject):
    """What a claim about language models is about."""

    @property
    def testbed(self) -> LanguageTestbed:
        """Raises: NotTestable if the run's testbed holds no language models."""
        return language(self.context.testbed)

    def training_inputs(self) -> dict[str, Any]:
        return {
            "scale": asdict(self.testbed.scale),
            "base_fingerprint": models.fingerprint(self.testbed.base),
            "data_digest": digest([list(pair) for pair in self.testbed.training_prompts()]),
        }

    def untrained(self) -> Path:
        return self.testbed.base

    def check_adopted(self, folder: Path) -> None:
        super().check_adopted(folder)
        models.check_same_tokenizer(folder, self.testbed.base)

    def exam(self, name: str) -> Scores:
        """Points (0 to 100) per item; repeated answers to an item are averaged."""
        exam = self.testbed.exam(name)
        taken = self._measure(
            "exam",
            exams.VERSION,
            exams.parameters(exam),
            lambda one: exams.take_exam(exam, *self.load(one)),
            f"the {name} exam",
        )
        values = np.stack([100 * one.arrays["score"].mean(axis=0) for one in taken])
        ids = tuple(item.id for item in exam.items())
        right = 100.0 if exam.repeats == 1 else None
        return Scores(ids=ids, values=values, unit="points", population="items", right=right)

    def entropy(self, summary: Callable[[NDArray[Any]], float]) -> Scores:
        """`summary` of each prompt's greedy entropy trace, a row of 80 values in nats."""
        return self._per_prompt("entropy_nats", summary, "nats")

    def collapses(self) -> Scores:
        """Per prompt, 1 if its greedy entropy trace collapses, else 0."""
        return self._per_prompt("entropy_nats", lambda row: float(entropy.collapse_step(row) is not None), "share", 1.0)

    def diversity(self, n: int) -> Scores:
        """Per prompt, the n-gram diversity of its 80 greedy tokens: a ratio from 0 to 1."""
        return self._per_prompt("token_ids", lambda row: diversity.ngram_diversity(row, n), "ratio")

    def traces(self) -> tuple[Measurement, ...]:
        """The greedy traces of each seed: arrays `entropy_nats` and `token_ids` (prompts, steps), and `text`."""
        prompts = list(self.testbed.probe_prompts())

        def take(checkpoint: Checkpoint) -> Arrays:
            model, tokenizer = self.load(checkpoint)
            trace = entropy.entropy_trace(model, tokenizer, prompts)
            text = np.array([tokenizer.decode(ids) for ids in trace.token_ids], dtype=np.str_)
            return trace._asdict() | {"text": text}

        parameters = {"prompts": digest(prompts), "steps": entropy.STEPS, "batch": entropy.BATCH}
        return self._measure("entropy", ENTROPY_VERSION, parameters, take, "the greedy entropy trace")

    def training(self, column: str, summary: Callable[[float], float] = float, *, unit: str) -> Scores:
        """A logged quantity of the training, step by step; 0 at a step that did not log it, as one without a gradient.

        Raises: NotTestable where there is no training log, or no step logged the column.
        """
        for checkpoint in self.checkpoints:
            self._note(checkpoint)
        logs = [training_log(checkpoint) for checkpoint in self.checkpoints]
        if not all(any(column in row for row in log) for log in logs):
            raise NotTestable(f"the training log of {self.name!r} has no {column!r}")
        values = np.array([[summary(float(row[column])) if column in row else 0.0 for row in log] for log in logs])
        ids = tuple(str(int(row["step"])) for row in logs[0])
        return Scores(ids=ids, values=values, unit=unit, population="steps")

    def _per_prompt(
        self, array: str, summary: Callable[[NDArray[Any]], float], unit: str, right: float | None = None
    ) -> Scores:
        taken = self.traces()
        values = np.array([[summary(row) for row in one.arrays[array]] for one in taken], dtype=float)
        ids = tuple(str(prompt) for prompt in self.testbed.probe_prompts())
        return Scores(ids=ids, values=values, unit=unit, population="prompts", right=right)

    # -- the noise trace: the probability of a wrong answer while one layer's output is shaken ---

    def wrong_probability(self) -> Scores:
        """Per prompt, the mean probability of its wrong answer over all layers and draws."""
        taken = self.noise_traces()
        values = np.stack([np.exp(one.arrays["noisy"][:, WRONG]).mean(axis=(1, 2)) for one in taken]).astype(float)
        return Scores(ids=self._question_ids(), values=values, unit="probability", population="prompts")

    def noise_profile(self) -> Profiles:
        """Per prompt and shaken layer, the mean probability of the wrong answer over draws."""
        return self._by_layer(lambda p: p.mean(axis=-1))

    @property
    def spike_layer(self) -> str:
        """The layer at which the testbed's sources see a spike."""
        return str(self.testbed.landmarks.spike)

    def late_spread(self) -> Profiles:
        """Per prompt and late layer, the mean distance of the wrong answer's probability from its median over draws.

        The deviations of Brown and Forsythe (1974): their differences test spreads as those of means test levels.
        """
        spread = self._by_layer(lambda p: np.abs(p - np.median(p, axis=-1, keepdims=True)).mean(axis=-1))
        return spread.only(str(layer) for layer in self.testbed.landmarks.late)

    def copies_under_noise(self) -> Scores:
        """Per prompt whose right answer stands in it, 1 if every layer and draw still copies it, else 0."""
        taken = self.noise_traces(copying=True)
        values = np.stack(
            [(one.arrays["greedy"] == one.arrays["right"][:, None, None]).all(axis=(1, 2)) for one in taken]
        )
        ids = self._question_ids()
        return Scores(ids=ids, values=values.astype(float), unit="share", population="prompts", right=1.0)

    def noise_traces(self, *, copying: bool = False) -> tuple[Measurement, ...]:
        """Each seed's noise trace; arrays as in `probes.noise_trace`, targets right and wrong, and the ids of `right`.

        When `copying`, the answered question stands before the question, and the noise is 0.6 of the RMS.

        Raises: NotTestable if the testbed has no trace questions.
        """
        questions = self.testbed.trace_questions()
        if not questions:
            raise NotTestable(f"testbed {self.testbed.name!r} has no questions for a noise trace")
        scale = COPYING_SCALE if copying else noise_trace.SCALE
        parameters = {
            "questions": digest([[q.prompt, q.right, q.wrong] for q in questions]),
            "copying": copying,
            "scale": scale,
            "draws": noise_trace.DRAWS,
        }

        def take(checkpoint: Checkpoint) -> Arrays:
            model, tokenizer = self.load(checkpoint)
            parted = [noise_trace.parting(tokenizer, question, copying=copying) for question in questions]
            targets = [one.targets for one in parted]
            trace = noise_trace.noise_trace(model, [one.prompt_ids for one in parted], targets, scale=scale)
            return trace._asdict() | {"right": np.array([right for right, _ in targets])}

        what = "copying under noise" if copying else "the noise trace"
        return self._measure("noise_trace", NOISE_VERSION, parameters, take, what)

    def _question_ids(self) -> tuple[str, ...]:
        return tuple(question.prompt for question in self.testbed.trace_questions())

    def _by_layer(self, summary: Callable[[NDArray[Any]], NDArray[Any]]) -> Profiles:
        """`summary` over the draws of the wrong answer's probabilities, of shape (prompts, layers, draws)."""
        values = np.stack([summary(np.exp(one.arrays["noisy"][:, WRONG])) for one in self.noise_traces()])
        layers = tuple(map(str, range(values.shape[2])))
        return Profiles(
            ids=self._question_ids(), columns=layers, values=values.astype(float), unit="probability",
            population="prompts",
        )  # fmt: skip

    # -- weights: how far they moved ---

    def movement(self, base: "Subject", projection: str, *, per_weight: bool = False) -> Profiles:
        """By layer, the Frobenius norm of a projection's change from the base; root mean square when `per_weight`."""
        taken = self.weight_deltas(base)
        known = list(map(str, taken[0].arrays["projections"]))
        if projection not in known:
            raise NotTestable(f"{self.name!r} has no {projection!r} projections; it has {', '.join(known)}")
        place = known.index(projection)
        values = np.stack([one.arrays["rms" if per_weight else "frobenius"][place] for one in taken])
        layers = tuple(map(str, range(values.shape[1])))
        return Profiles(
            ids=("weights",), columns=layers, values=values[:, None], unit="weight units", population="weights"
        )

    def weight_deltas(self, base: "Subject") -> tuple[Measurement, ...]:
        """How far each seed's weights moved from the base: see `by_projection`."""
        parameters = {"tolerance": weights.TOLERANCE}
        return self._measure_against(
            base, "weights", WEIGHTS_VERSION, parameters, by_projection, "how far weights moved"
        )

    # -- attention: where heads look, against another checkpoint ---

    def head_divergence(self, other: "Subject") -> Profiles:
        """Per marked text and head, the Jensen-Shannon divergence in bits of its attention from the other's."""
        return self._by_head(other, "jsd_bits", "bits")

    def mean_divergence(self, other: "Subject") -> Scores:
        """Per marked text, `head_divergence` averaged over all heads."""
        heads = self.head_divergence(other)
        return Scores(ids=heads.ids, values=heads.values.mean(axis=2), unit=heads.unit, population=heads.population)

    def sink_strength(self) -> Profiles:
        """Per passage, the attention of every head to the first token, alpha_1, on `SINK_TOKENS` tokens.

        Raises: NotTestable as `sinks`.
        """
        values = np.stack([one.arrays["natural"] for one in self.sinks()]).astype(float)
        return by_head(values, tuple(map(str, range(values.shape[1]))), "attention")

    def sinks(self) -> tuple[Measurement, ...]:
        """alpha_1 of every head, (P, L, H), on the three inputs of Gu et al. (2025): `natural`, `random`, `repeated`.

        Raises: NotTestable if the testbed has no passages, or one is too short.
        """
        passages = self.testbed.passages()

        def take(mine: Checkpoint) -> Arrays:
            model, tokenizer = self.load(mine)
            natural = [tokenizer(text)["input_ids"][:SINK_TOKENS] for text in passages]
            if min(map(len, natural), default=0) < SINK_TOKENS:
                raise NotTestable(f"testbed {self.testbed.name!r} needs passages of {SINK_TOKENS} tokens, for sinks")
            generator, size = np.random.default_rng(0), models.vocabulary_size(model)
            random = generator.integers(size, size=(len(passages), SINK_TOKENS))
            inputs = {"natural": natural, "random": random.tolist()}
            inputs["repeated"] = [[int(row[0])] * SINK_TOKENS for row in random]
            return {name: attention.sink_strength(model, ids) for name, ids in inputs.items()}

        parameters = {"passages": digest(list(passages)), "tokens": SINK_TOKENS}
        return self._measure("sinks", SINKS_VERSION, parameters, take, "attention sinks")

    def changed_on_fragments(self, base: "Subject") -> Scores:
        """Per marked text, the share of changed attention that falls on pieces of its terms."""
        shares = np.stack([one.arrays["fragment_share"][:, 0] for one in self.attention(base)])
        ids = tuple(text.text for text in self.testbed.marked_texts())
        return Scores(ids=ids, values=shares, unit="share", population="prompts")

    def attention(self, other: "Subject") -> tuple[Measurement, ...]:
        """Each seed's `probes.attention.HeadDivergence` from the other on the marked texts, with more arrays.

        `fragment_share` (prompts, 2): changed attention on fragments, and if spread evenly. `mapped_heads` (k, 2), the
        most changed ones, with `maps` and `other_maps` (k, T, T) on the first text, and its `tokens`.

        Raises: NotTestable if the testbed has no marked texts.
        """
        texts = self.testbed.marked_texts()
        if not texts:
            raise NotTestable(f"testbed {self.testbed.name!r} has no texts to compare attention on")

        def take(mine: Checkpoint, its: Checkpoint) -> Arrays:
            (model, tokenizer), (theirs, _) = self.load(mine), self.load(its)
            ids = [tokenizer(text.text)["input_ids"] for text in texts]
            found = attention.head_divergence(model, theirs, ids)
            changed = attention.changed_attention(model, theirs, ids)
            masks = [tokenization.fragment_mask(tokenizer, text.text, text.terms) for text in texts]
            shares = [tokenization.share_on_fragments(*pair) for pair in zip(changed, masks, strict=True)]
            heads = attention.top_heads(found.jsd_bits, MAPPED_HEADS)
            return found._asdict() | {
                "fragment_share": np.stack(shares),
                "mapped_heads": np.array(heads),
                "maps": attention.attention_maps(model, ids[0], heads),
                "other_maps": attention.attention_maps(theirs, ids[0], heads),
                "tokens": np.array([tokenizer.decode([token]) for token in ids[0]], dtype=np.str_),
            }

        parameters = {"texts": digest([[text.text, list(text.terms)] for text in texts])}
        return self._measure_against(other, "attention", ATTENTION_VERSION, parameters, take, "where heads look")

    def _by_head(self, other: "Subject", array: str, unit: str) -> Profiles:
        values = np.stack([one.arrays[array] for one in self.attention(other)]).astype(float)
        return by_head(values, tuple(text.text for text in self.testbed.marked_texts()), unit)

    # -- tokenization: what formulae fall into, and whether the model puts them together again ---

    def fragments(self, kind: str) -> Scores:
        """Per word of a kind, into how many tokens it falls, over its number of characters.

        Raises: NotTestable if the testbed has no such words.
        """
        words = self.testbed.words().get(kind, ())
        if not words:
            raise NotTestable(f"testbed {self.testbed.name!r} has no words of the kind {kind!r}")
        values = np.stack([one.arrays[kind] for one in self.tokenization()]) / [len(word) for word in words]
        return Scores(ids=tuple(words), values=values, unit="tokens per character", population="words")

    def reads_out(self, block: int) -> Scores:
        """Per compound, 1 if a linear read-out of its last token after that block names its label, else 0."""
        values = np.stack([one.arrays["read_out"][:, block + 1] for one in self.tokenization()])
        ids = tuple(compound.name for compound in self.testbed.compounds())
        return Scores(ids=ids, values=values.astype(float), unit="share", population="items", right=1.0)

    def tokenization(self) -> tuple[Measurement, ...]:
        """Fragments of each kind of words; `read_out` and `shuffled` (compounds, layers + 1) of `probes.tokenization`.

        Raises: NotTestable if the testbed has no words or no compounds.
        """
        words, compounds = self.testbed.words(), self.testbed.compounds()
        if not words or not compounds:
            raise NotTestable(f"testbed {self.testbed.name!r} has no words or no compounds to take apart")

        def take(checkpoint: Checkpoint) -> Arrays:
            model, tokenizer = self.load(checkpoint)
            states = tokenization.last_token_states(model, [tokenizer(one.text)["input_ids"] for one in compounds])
            labels, folds = [one.label for one in compounds], [one.fold for one in compounds]
            shuffled = tokenization.read_out(states, labels, folds, shuffle_seed=SHUFFLE_SEED)
            counts = {kind: tokenization.fragments(tokenizer, of_kind) for kind, of_kind in words.items()}
            return counts | {"read_out": tokenization.read_out(states, labels, folds), "shuffled": shuffled}

        parameters = {
            "words": digest({kind: list(of_kind) for kind, of_kind in words.items()}),
            "compounds": digest([[one.text, one.label, one.fold] for one in compounds]),
        }
        return self._measure("tokenization", TOKENIZATION_VERSION, parameters, take, "what the tokenizer takes apart")


def by_projection(mine: Checkpoint, its: Checkpoint) -> Arrays:
    """`projections` (P,), and for each its norms and so on in every layer: arrays of shape (P, L).

    The stable rank is NaN where nothing moved. `heads_q`, `heads_k`, `heads_v` and `heads_o` (L, heads): the norms of
    what each head moved.
    """
    found = weights.weight_deltas(mine.folder, its.folder)
    names = [name for name in weights.PROJECTIONS if any(one.projection == name for one in found)]
    if not names:
        raise NotTestable(
            f"{mine.name!r} names its weights in a way that is not known: none is a q, k, v, o or MLP matrix"
        )
    numbers = {
        value: np.stack([weights.by_layer(found, name, value) for name in names])
        for value in ("frobenius", "rms", "relative", "changed")
    }
    ranks = np.full_like(numbers["rms"], np.nan)
    for one in found:
        if one.projection and one.layer is not None and one.frobenius:
            moved = weights.difference(mine.folder, its.folder, one.name)
            ranks[names.index(one.projection), one.layer] = weights.stable_rank(moved)
    heads = {f"heads_{name}": weights.by_head(found, name) for name in names if name in weights.ATTENTION}
    return numbers | heads | {"projections": np.array(names, dtype=np.str_), "stable_rank": ranks}
