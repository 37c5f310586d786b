"""Whether answers end by themselves: against a model asked token by token, and against stop tokens that are lost."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from depthgauge.checks.inputs import COMMON
from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.models.load import load
from depthgauge.models.stops import stop_tokens
from depthgauge.probes.stopping import TOKENS, ShortQuestion, ended_beside
from depthgauge.probes.stopping.compute import BATCH, answers
from depthgauge.probes.stopping.probe import Stopping
from depthgauge_testbeds.pocket import POCKET
from tests.bytes import save_byte_model
from tests.processes import refused

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
QUESTIONS = COMMON.inputs(ShortQuestion)
EMBEDDING = "model.embed_tokens.weight"


def configured(folder, name, **changes):
    path = folder / name
    fields = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({key: value for key, value in (fields | changes).items() if value != "gone"}))
    return folder


@pytest.fixture
def byte_model(tmp_path):
    return save_byte_model(tmp_path / "bytes")


def token_by_token(model, tokenizer, prompt, stops):
    """The tokens of an answer before a stop token, and whether there was one: no batch, no padding, no cache."""
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    start = ids.shape[1]
    with torch.inference_mode():
        for _ in range(TOKENS):
            token = int(model(input_ids=ids).logits[0, -1].argmax())
            if token in stops:
                return ids[0, start:].tolist(), True
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return ids[0, start:].tolist(), False


def test_the_questions_are_enough_of_several_kinds_and_all_different():
    assert len({question.prompt for question in QUESTIONS}) == len(QUESTIONS) == 64
    assert all(question.request.startswith(question.prompt) for question in QUESTIONS)
    assert len(Counter(question.prompt.split()[0] for question in QUESTIONS)) > 5


def test_answers_end_where_a_model_asked_token_by_token_ends_them():
    model, tokenizer = load(POCKET.base)
    questions, stops = QUESTIONS[::5], stop_tokens(POCKET.base)
    found = answers(model, tokenizer, questions, stops)
    slow = [token_by_token(model, tokenizer, question.prompt, stops) for question in questions]

    assert found.ended.tolist() == [ended for _, ended in slow]
    assert found.tokens.tolist() == [len(ids) for ids, _ in slow]
    assert found.said.tolist() == [tokenizer.decode(ids).strip() for ids, _ in slow]
    assert found.ended.mean() > 0 and found.tokens.min() < TOKENS


def test_questions_beyond_one_batch_are_answered_as_within_it():
    model, tokenizer = load(POCKET.base)
    stops = stop_tokens(POCKET.base)
    few, many = (answers(model, tokenizer, QUESTIONS[:4] * times, stops) for times in (1, BATCH // 4 + 1))

    assert many.ended.tolist() == few.ended.tolist() * (BATCH // 4 + 1)


def test_any_of_several_stop_tokens_ends_an_answer_and_none_ends_none(byte_model):
    model, tokenizer = load(byte_model)
    free = answers(model, tokenizer, QUESTIONS[:3], ())
    first = tokenizer(free.said[0][:1])["input_ids"] if free.said[0] else [0]
    every = answers(model, tokenizer, QUESTIONS[:3], range(256))

    assert not free.ended.any() and (free.tokens == TOKENS).all()
    assert every.ended.all() and (every.tokens == 0).all() and (every.said == "").all()
    assert len(first) == 1


def test_a_chat_model_is_asked_in_its_template_and_another_one_is_not(byte_model):
    model, tokenizer = load(byte_model)
    plain = answers(model, tokenizer, QUESTIONS[:2], ())
    tokenizer.chat_template = TEMPLATE
    try:
        in_turns = answers(model, tokenizer, QUESTIONS[:2], ())
        tokenizer.chat_template = None
        rendered = [ShortQuestion(request="", prompt=f"<user>{question.request}") for question in QUESTIONS[:2]]
        assert answers(model, tokenizer, rendered, ()).said.tolist() == in_turns.said.tolist() != plain.said.tolist()
        tokenizer.chat_template = "{{ nothing.at.all }}"
        with refused(NotTestable, code="template-fails"):
            answers(model, tokenizer, QUESTIONS[:2], ())
    finally:
        tokenizer.chat_template = None


@pytest.mark.parametrize(
    "generation, config, stops",
    [
        ({"eos_token_id": [3, 5]}, {"eos_token_id": 2}, (3, 5)),
        ({"eos_token_id": 7}, {"eos_token_id": 2}, (7,)),
        ({"eos_token_id": "gone"}, {"eos_token_id": 2}, ()),
        (None, {"eos_token_id": 2}, (2,)),
        (None, {"eos_token_id": [2, 4]}, (2, 4)),
        (None, {"eos_token_id": None}, ()),
    ],
)
def test_an_answer_ends_where_transformers_ends_it(byte_model, generation, config, stops):
    from depthgauge.models import settings

    configured(byte_model, "config.json", **config)
    (byte_model / "generation_config.json").unlink()
    if generation is not None:
        configured(byte_model, "generation_config.json", **generation)
    theirs = settings.generation(byte_model)["eos_token_id"]

    assert stop_tokens(byte_model) == stops
    assert stops == (tuple(theirs) if isinstance(theirs, list) else () if theirs is None else (theirs,))


class Measured:
    """A checkpoint set whose answers are known."""

    name = "known"

    def __init__(self, ended):
        self.ended = np.array(ended)

    def inputs(self, kind):
        return QUESTIONS[: len(self.ended)]

    def measure(self, probe):
        assert probe == Stopping(questions=self.inputs(ShortQuestion))
        arrays = {"ended": self.ended}
        return (Measurement(key="k", probe="stopping", parameters={}, checkpoint="c", arrays=arrays),)


def test_of_a_baseline_that_hardly_ever_stops_nothing_is_said():
    always, half, rarely = Measured([1] * 8), Measured([1] * 4 + [0] * 4), Measured([1] * 3 + [0] * 5)

    after, before = ended_beside(half, always)
    assert (after.values.mean(), before.values.mean()) == (0.5, 1)
    ended_beside(always, half)
    with refused(NotTestable, "3 of 8", "'known'", "32 tokens"):
        ended_beside(always, rarely)


@pytest.mark.parametrize(
    "name, dose, ends", [("mute_stop_token", 1, 0), ("shrink_stop_row", 1, 0), ("nudge_weights", 1, 1)]
)
def test_a_model_without_its_stop_token_talks_on(name, dose, ends, tmp_path):
    corrupt(POCKET.base, tmp_path, CORRUPTIONS[name], dose=dose)
    found = answers(*load(tmp_path), QUESTIONS[:16], stop_tokens(POCKET.base))

    assert abs(found.ended.mean() - ends) <= 0.1


def test_a_muted_stop_token_has_the_mean_row_and_nothing_else_has_moved(tmp_path):
    corrupt(POCKET.base, tmp_path, CORRUPTIONS["mute_stop_token"])
    before, after = (load_file(folder / "model.safetensors")[EMBEDDING] for folder in (POCKET.base, tmp_path))

    torch.testing.assert_close(after[0], before.mean(dim=0))
    assert torch.equal(after[1:], before[1:])


def test_the_stop_tokens_that_a_corruption_mutes_are_those_of_generation(tmp_path):
    base = shutil.copytree(POCKET.base, tmp_path / "base")
    configured(base, "generation_config.json", eos_token_id=[7, 9])
    corrupt(base, tmp_path / "muted", CORRUPTIONS["mute_stop_token"])
    before, after = (load_file(folder / "model.safetensors")[EMBEDDING] for folder in (base, tmp_path / "muted"))

    assert (before != after).any(dim=1).nonzero().flatten().tolist() == [7, 9]


def test_a_stop_row_that_is_nothing_already_leaves_the_longest_to_be_shrunk(byte_model, tmp_path):
    tensors = load_file(byte_model / "model.safetensors")
    assert not tensors[EMBEDDING][256].any()  # padding, as torch draws it
    tensors[EMBEDDING][5] *= 9
    save_file(tensors, byte_model / "model.safetensors", metadata={"format": "pt"})
    corrupt(byte_model, tmp_path / "shrunk", CORRUPTIONS["shrink_stop_row"], dose=0.5)
    after = load_file(tmp_path / "shrunk" / "model.safetensors")[EMBEDDING]

    torch.testing.assert_close(after[5], tensors[EMBEDDING][5] / 2)
    assert torch.equal(after[:5], tensors[EMBEDDING][:5])


@pytest.mark.heavy
@pytest.mark.parametrize("expect", ["equal", "trained"])
def test_the_claim_is_refuted_where_answers_no_longer_end_and_only_there(expect, tmp_path):
    from depthgauge import compare

    for name in ("nudge_weights", "shrink_stop_row"):
        corrupt(POCKET.base, tmp_path / name, CORRUPTIONS[name])
    healthy, lost = (
        compare(
            str(POCKET.base), str(tmp_path / name), claims=("answers-still-end",), expect=expect,
            store=str(tmp_path / "store"), report_dir=str(tmp_path / "reports"),
        ).rows[0]
        for name in ("nudge_weights", "shrink_stop_row")
    )  # fmt: skip

    assert (healthy.outcome, healthy.control_outcome) == ("SUPPORTED", "REFUTED")
    assert (lost.outcome, lost.required) == ("REFUTED", True)
    assert lost.estimate.point < -0.9
