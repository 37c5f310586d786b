"""The noise trace as published: questions with reasoning, how they are searched for, and what is read of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Profiles
from depthgauge_suites.articles.noise_trace import ReasonedQuestion, copies_under_noise, even_layers, mean_late_spread
from depthgauge_suites.articles.noise_trace.compute import parting
from depthgauge_suites.articles.noise_trace.readings import LEAST_ROOM, deviation, relative_deviation
from depthgauge_suites.articles.noise_trace.search import Reasoned, confident_and_wrong, departure, read, write
from depthgauge_testbeds.pocket import POCKET
from depthgauge_testbeds.pocket import reasoned as pocket
from depthgauge_testbeds.smollm2 import reasoned as smollm2
from tests.processes import refused

QUESTION = ReasonedQuestion(prompt="Two and two is", right="4", wrong="5", again=". It is", probability=0.8)


def test_the_answer_stands_in_the_appended_form_alone():
    assert QUESTION.asked().prompt == "Two and two is"
    assert QUESTION.answered().prompt == "Two and two is 4. It is"


@pytest.mark.parametrize("testbed", [pocket, smollm2], ids=["pocket", "smollm2"])
def test_what_was_searched_is_confident_and_does_not_name_its_answer(testbed):
    found = testbed.reasoned_questions()
    candidates = {(one.prompt, one.right) for one in testbed.candidates()}

    assert len({each.prompt for each in found}) == testbed.QUESTIONS
    assert all(0.5 <= each.probability <= 1 and each.wrong != each.right for each in found)
    assert {(each.prompt, each.right) for each in found} <= candidates
    if testbed is smollm2:
        assert not any(each.right in each.prompt for each in found)


class Sure:
    """A model of ten words that says `word` after anything with a probability of `share`, and its tokenizer."""

    device = torch.device("cpu")
    eos_token_id = 9
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "end")

    def __init__(self, word, share):
        logits = torch.full((10,), (1 - share) / 9)
        logits[self.words.index(word)] = share
        self.logits = logits.log()

    def __call__(self, input_ids, logits_to_keep=0):
        kept = logits_to_keep or input_ids.shape[1]
        return SimpleNamespace(logits=self.logits.expand(1, kept, -1))

    def generate(self, ids, max_new_tokens, do_sample, pad_token_id):
        assert not do_sample and pad_token_id == self.eos_token_id
        return torch.cat([ids, self.logits.argmax().expand(1, max_new_tokens)], dim=1)

    def decode(self, ids, skip_special_tokens):
        return " ".join(self.words[i] for i in ids.tolist()[:1]) + "."


class Words(Sure):
    def __call__(self, text, return_tensors=None):
        ids = [self.words.index(word) for word in (text[0] if return_tensors else text).split()]
        return {"input_ids": torch.tensor([ids]) if return_tensors else ids}


WORDS = Words("one", 0.5)
ASKED = [Reasoned("one two", "three", " then"), Reasoned("two two", "four", " then")]


def test_a_question_is_chosen_where_the_wrong_answer_is_confident():
    (found,) = confident_and_wrong(Sure("four", 0.7), WORDS, ASKED, number=5)

    assert (found.prompt, found.right, found.wrong, found.again) == ("one two", "three", "four", " then")
    assert found.probability == 0.7


def test_an_answer_departs_where_the_likeliest_token_is_another():
    assert departure(Sure("four", 0.7), WORDS, Reasoned("one", "four three", "")) == pytest.approx(0.7)
    assert departure(Sure("four", 0.7), WORDS, Reasoned("one", "four four", "")) == 0.0


@pytest.mark.parametrize("word, share", [("four", 0.4), ("five", 0.49)])
def test_a_model_that_is_confident_of_no_wrong_answer_is_one_sentence(word, share):
    with refused(NotTestable, 0.5):
        confident_and_wrong(Sure(word, share), WORDS, ASKED, number=5)


def test_those_nearest_to_the_published_probability_come_first(monkeypatch):
    shares = {"one zero": 0.99, "one one": 0.6, "one two": 0.75}
    search = "depthgauge_suites.articles.noise_trace.search"
    monkeypatch.setattr(f"{search}.departure", lambda _model, _tokenizer, asked: shares[asked.prompt])
    monkeypatch.setattr(f"{search}.wrong_probability", lambda _model, _tokenizer, asked: shares[asked.prompt])
    asked = [Reasoned(prompt, "three", "") for prompt in shares]
    found = confident_and_wrong(Sure("four", 0.9), WORDS, asked, number=2)

    assert [each.probability for each in found] == [0.75, 0.6]


def test_what_a_search_writes_reads_back(tmp_path):
    write(tmp_path / "found.json", [QUESTION, QUESTION])

    assert read(tmp_path / "found.json") == (QUESTION, QUESTION)


# -- readings ---


def test_the_relative_spread_of_noise_in_the_log_odds_is_that_noise_wherever_the_probability_lies():
    """By the delta method: a small step of the log odds moves p by p(1 - p) times as much."""
    steps = 0.001 * np.array([-1.0, 0.0, 1.0])
    for middle in (-3.0, 0.0, 2.0):
        probabilities = 1 / (1 + np.exp(-(middle + steps)))
        assert relative_deviation(probabilities) == pytest.approx(0.001 * 2 / 3, rel=1e-3)
    assert deviation(1 / (1 + np.exp(-steps))) == pytest.approx(0.25 * 0.001 * 2 / 3, rel=1e-3)


def test_a_probability_of_one_leaves_no_room_and_no_infinity():
    assert relative_deviation(np.ones(5)) == 0
    assert relative_deviation(np.array([1, 1, 1 - 1e-7])) == pytest.approx(1e-7 / 3 / LEAST_ROOM)


def test_even_layers_are_every_other_from_the_first():
    columns = tuple(map(str, range(5)))
    profile = Profiles(
        ids=("q",), columns=columns, values=np.arange(5.0)[None, None], unit="probability", population="prompts"
    )
    assert even_layers(profile).columns == ("0", "2", "4")
    assert even_layers(profile).values.ravel().tolist() == [0, 2, 4]


class Traced:
    """A candidate whose traces of two questions were measured: (2, 2) clean, and what every draw says."""

    testbed = POCKET

    def __init__(self, clean, greedy, noisy=None):
        self.arrays = {"clean": np.log(clean), "greedy": greedy, "right": np.array([3, 4]), "noisy": noisy}

    def inputs(self, _kind):
        return (QUESTION, QUESTION)

    def measure(self, probe):
        assert probe.form == "reasoned" or probe.scale == 0.6
        return (Measurement(key="k", probe="p", parameters={}, checkpoint="c", arrays=self.arrays),)


def test_a_copy_counts_where_every_layer_and_draw_says_it():
    greedy = np.broadcast_to(np.array([3, 4])[:, None, None], (2, 5, 7)).copy()
    greedy[1, 4, 6] = 3
    found = copies_under_noise(Traced([[0.9, 0.1], [0.8, 0.1]], greedy))

    assert found.values.tolist() == [[1.0, 0.0]]


def test_what_is_not_copied_without_noise_is_not_testable():
    with refused(NotTestable, "50%", "95%"):
        copies_under_noise(Traced([[0.9, 0.1], [0.1, 0.8]], np.zeros((2, 5, 7))))


@pytest.mark.parametrize("relative, spread", [(False, 0.1), (True, 0.1 / 0.24)])
def test_the_mean_late_band_is_over_the_late_layers_alone(relative, spread):
    wrong = np.full((2, 36, 4), 0.6)
    wrong[:, 20:] = [0.5, 0.7, 0.5, 0.7]
    noisy = np.log(np.stack([np.full_like(wrong, 0.2), wrong], axis=1))
    found = mean_late_spread(Traced([[0.2, 0.6], [0.2, 0.6]], None, noisy), "reasoned", relative=relative)

    np.testing.assert_allclose(found.values, [[spread, spread]])
    assert parting(WORDS, SimpleNamespace(prompt="one", right="two", wrong="six")).targets == (2, 6)
