"""A subject: a method's checkpoints, and all that a claim may ask of them. What was measured before is read again."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import exams
from harness.checkpoints import Checkpoints, training_log
from harness.errors import NotTestable
from harness.measurements import Arrays
from harness.probes import diversity, entropy, noise_trace
from harness.types import Checkpoint, Measurement, Profiles, Scores, digest

ENTROPY_VERSION = 1
NOISE_VERSION = 1
COPYING_SCALE, COPYING_DRAWS = 0.6, 30
RIGHT, WRONG = 0, 1  # the targets of a noise trace


class Subject(Checkpoints):
    """What a claim is about."""

    def exam(self, name: str) -> Scores:
        """Points (0 to 100) per item; repeated answers to an item are averaged."""
        exam = self.context.testbed.exam(name)
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
        prompts = list(self.context.testbed.probe_prompts())

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
        ids = tuple(str(prompt) for prompt in self.context.testbed.probe_prompts())
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

    def late_spread(self) -> Profiles:
        """Per prompt and late layer, the mean distance of the wrong answer's probability from its median over draws.

        The deviations of Brown and Forsythe (1974): their differences test spreads as those of means test levels.
        """
        spread = self._by_layer(lambda p: np.abs(p - np.median(p, axis=-1, keepdims=True)).mean(axis=-1))
        return spread.only(str(layer) for layer in self.context.testbed.landmarks.late)

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
        questions = self.context.testbed.trace_questions()
        if not questions:
            raise NotTestable(f"testbed {self.context.testbed.name!r} has no questions for a noise trace")
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
        return tuple(question.prompt for question in self.context.testbed.trace_questions())

    def _by_layer(self, summary: Callable[[NDArray[Any]], NDArray[Any]]) -> Profiles:
        """`summary` over the draws of the wrong answer's probabilities, of shape (prompts, layers, draws)."""
        values = np.stack([summary(np.exp(one.arrays["noisy"][:, WRONG])) for one in self.noise_traces()])
        layers = tuple(map(str, range(values.shape[2])))
        return Profiles(
            ids=self._question_ids(), columns=layers, values=values.astype(float), unit="probability",
            population="prompts",
        )  # fmt: skip
