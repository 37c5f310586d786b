"""What two models would say next: against a loop in float64, closed forms, and what a broken model does."""

from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, logsumexp

from depthgauge.backends import pairs
from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core import testbed as types
from depthgauge.core.errors import InvalidCheckpoint, NotTestable, StatisticUndefined
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint
from depthgauge.core.result import Evidence
from depthgauge.core.testbed import Text
from depthgauge.core.verdict import number
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import Placement
from depthgauge.page.section import Measured, Piece, Setting
from depthgauge.page.style import write_picture
from depthgauge.probes import divergence
from depthgauge.probes.divergence import NextToken, changed_share, compute, mean_kl, median_kl
from depthgauge.probes.divergence.compute import NOTHING, next_tokens
from depthgauge.probes.divergence.compute import compare as compare_rows
from depthgauge.probes.divergence.report import of_all_tokens, pieces_of, show
from depthgauge.store.folders import Store
from tests.families import VOCABULARY, every_family, logits_of, random_model
from tests.processes import refused
from tests.tiny import save_tiny_base

GENERATOR = np.random.default_rng(0)
PROMPTS = [GENERATOR.integers(2, VOCABULARY, size=length).tolist() for length in (7, 12, 7, 3, 7)]
TEXTS = tuple(Text(text=text, kind=kind) for text, kind in (("abcd", "x"), ("ddcb", "y"), ("abba" * 3, "x")))
TURNS = Text(text="a b", kind="chat", turns=(("user", "a"), ("assistant", "b")))
pairs_of_logits = arrays(np.float64, (2, 6), elements=st.floats(-30, 30))


def slow(candidate, baseline, prompts):
    """The definition, one token after the other, in float64: KL(baseline || candidate), and both likeliest tokens."""
    found = []
    for ids in prompts:
        for ours, theirs in zip(logits_of(candidate, ids), logits_of(baseline, ids), strict=True):
            p, q = log_softmax(theirs), log_softmax(ours)
            found.append((sum(np.exp(p) * (p - q)), ours.argmax(), theirs.argmax()))
    return np.array(found).T


def compare(baseline, candidate, follows=NOTHING):
    """Rows after each of which the same token follows."""
    return compare_rows(baseline, candidate, torch.full((len(baseline),), follows))


def scaled(model, factor):
    """A copy of which all logits are multiplied."""
    candidate = deepcopy(model)
    with torch.no_grad():
        candidate.get_output_embeddings().weight.mul_(factor)
    return candidate


def handle_of(folder, name="candidate"):
    return CheckpointHandle(
        checkpoint=Checkpoint(name=name, seed=0, folder=folder, fingerprint=name), placement=Placement()
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two tiny checkpoints of one tokenizer."""
    place = tmp_path_factory.mktemp("pair")
    return save_tiny_base(place / "new", seed=1), save_tiny_base(place / "old", seed=0)


@pytest.fixture
def candidates(folders, tmp_path):
    """Both as checkpoint sets of a testbed that gives three texts."""
    testbed = types.Testbed(name="three", probe_inputs={Text: lambda: TEXTS})
    context = RunContext(testbed=testbed, store=Store(tmp_path / "store", run="test"), tell=lambda line: None)
    return [CheckpointSet(name=folder.name, folder=folder, context=context) for folder in folders]


@every_family
def test_divergences_are_those_of_a_loop_over_tokens(family):
    candidate, baseline = random_model(family, 1), random_model(family, 0)
    found = next_tokens(candidate, baseline, PROMPTS)
    kl, says, baseline_says = slow(candidate, baseline, PROMPTS)

    np.testing.assert_allclose(found.kl, kl, rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(found.says, says)
    np.testing.assert_array_equal(found.baseline_says, baseline_says)
    assert found.text_of.tolist() == [i for i, ids in enumerate(PROMPTS) for _ in ids]


@every_family
def test_equal_weights_have_no_divergence_at_all(family):
    baseline = random_model(family)
    found = next_tokens(deepcopy(baseline), baseline, PROMPTS)

    assert not found.kl.any()
    np.testing.assert_array_equal(found.says, found.baseline_says)
    np.testing.assert_array_equal(found.probability, found.baseline_probability)


def test_probabilities_are_those_of_the_word_that_the_old_model_finds_likeliest():
    candidate, baseline = random_model("llama", 1), random_model("llama", 0)
    found = next_tokens(candidate, baseline, PROMPTS[1:2])

    for model, ours in ((candidate, found.probability), (baseline, found.baseline_probability)):
        chances = np.exp(log_softmax(logits_of(model, PROMPTS[1]), axis=-1))
        np.testing.assert_allclose(ours, chances[np.arange(12), found.baseline_says], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("factor", [1.05, 0.5])
def test_the_divergence_is_what_the_old_model_misses_in_the_new_one(factor):
    """Logits z times c: KL(baseline || candidate) = A(c) - A(1) - (c - 1) A'(1) with A(c) = log sum exp(c z), A' the
    mean z.
    """
    baseline = random_model("llama")
    found = next_tokens(scaled(baseline, factor), baseline, PROMPTS[:1])
    z = logits_of(baseline, PROMPTS[0])
    mean = (np.exp(log_softmax(z, axis=-1)) * z).sum(-1)
    closed = logsumexp(factor * z, axis=-1) - logsumexp(z, axis=-1) - (factor - 1) * mean
    other_way = logsumexp(z, axis=-1) - logsumexp(factor * z, axis=-1) - (1 - factor) * (
        np.exp(log_softmax(factor * z, axis=-1)) * z
    ).sum(-1)  # fmt: skip

    np.testing.assert_allclose(found.kl, closed, rtol=1e-4)
    assert not np.allclose(closed, other_way, rtol=1e-2)
    assert not (found.says != found.baseline_says).any()


@given(pairs_of_logits)
def test_divergence_is_never_negative_and_that_of_the_definition(pair):
    baseline, candidate = torch.from_numpy(pair[:1]), torch.from_numpy(pair[1:])
    p, q = log_softmax(pair, axis=-1)
    kl = float(compare(baseline.float(), candidate.float())[0, 0])

    assert kl >= 0
    assert kl == pytest.approx(float((np.exp(p) * (p - q)).sum()), rel=4e-6, abs=4e-6)
    assert float(compare(baseline, baseline)[0, 0]) == 0


@given(pairs_of_logits, st.integers(0, 5))
def test_the_other_divergence_and_the_likelihoods_of_what_follows_are_those_of_the_definition(pair, follows):
    baseline, candidate = (torch.from_numpy(pair[i : i + 1]).float() for i in (0, 1))
    p, q = log_softmax(pair, axis=-1)
    *_, reverse, likelihood, baseline_likelihood = compare(baseline, candidate, follows)[0].tolist()

    assert reverse >= 0
    assert reverse == pytest.approx(float((np.exp(q) * (q - p)).sum()), rel=1e-4, abs=1e-4)
    assert (likelihood, baseline_likelihood) == pytest.approx((q[follows], p[follows]), rel=1e-4, abs=1e-4)
    assert np.isnan(compare(baseline, candidate)[0, 6:].numpy()).all()


@pytest.mark.parametrize("step", [1e-1, 1e-2, 1e-3])
def test_tiny_divergences_keep_their_digits_in_float32(step):
    """To second order it is half the variance of the difference of the logits."""
    baseline = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1000))).float()
    candidate = baseline + step * torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1000))).float()
    p, d = baseline.double().softmax(-1), candidate.double() - baseline.double()
    variance = float((p * d**2).sum() - (p * d).sum() ** 2)

    assert float(compare(baseline, candidate)[0, 0]) == pytest.approx(variance / 2, rel=step + 1e-4)


def test_logits_too_far_apart_for_float32_have_the_divergence_of_the_definition():
    baseline, candidate = torch.tensor([[0.0, -300.0, 5.0]]), torch.tensor([[0.0, 300.0, 5.0]])
    p, q = log_softmax(baseline.double().numpy()), log_softmax(candidate.double().numpy())

    found = compare(baseline, candidate, 1)[0].tolist()
    assert found[0] == pytest.approx((np.exp(p) * (p - q)).sum())
    assert found[5:] == pytest.approx([(np.exp(q) * (q - p)).sum(), q[0, 1], p[0, 1]])


def test_what_a_table_says_of_all_tokens_is_what_llama_cpp_calls_so():
    """Mean, tails and maximum of the divergence, same top p, RMS of delta p and the ratio of perplexities, by loops."""
    candidate, baseline = random_model("llama", 1), random_model("llama", 0)
    found = next_tokens(candidate, baseline, PROMPTS)
    changes, logs = [], []
    for ids in PROMPTS:
        ours, theirs = (log_softmax(logits_of(model, ids), axis=-1) for model in (candidate, baseline))
        changes += [np.exp(ours[t, ids[t + 1]]) - np.exp(theirs[t, ids[t + 1]]) for t in range(len(ids) - 1)]
        logs += [theirs[t, ids[t + 1]] - ours[t, ids[t + 1]] for t in range(len(ids) - 1)]
    taken = {
        "kl": found.kl, "reverse_kl": found.reverse_kl, "changed": found.says != found.baseline_says,
        "log_likelihood": found.log_likelihood, "baseline_log_likelihood": found.baseline_log_likelihood,
    }  # fmt: skip
    mean, *tails, reverse, same, root, ratio = of_all_tokens(SimpleNamespace(arrays=taken))

    assert float(mean) == pytest.approx(found.kl.mean(), rel=5e-3)
    assert [float(tail) for tail in tails] == pytest.approx(
        [*np.quantile(found.kl, (0.5, 0.95, 0.99)), found.kl.max()], rel=5e-3
    )
    assert float(reverse) == pytest.approx(found.reverse_kl.mean(), rel=5e-3)
    assert same == f"{number(100 * float((found.says == found.baseline_says).mean()))} %"
    assert float(root.removesuffix(" %")) == pytest.approx(100 * np.sqrt(np.mean(np.square(changes))), rel=5e-3)
    assert float(ratio) == pytest.approx(np.exp(np.mean(logs)), rel=5e-3)


def test_a_number_does_not_depend_on_the_texts_beside_it(monkeypatch):
    candidate, baseline = random_model("qwen3", 1), random_model("qwen3", 0)
    together = next_tokens(candidate, baseline, PROMPTS)
    alone = [next_tokens(candidate, baseline, [ids]) for ids in PROMPTS]
    monkeypatch.setattr(pairs, "TOKENS", 14)
    in_twos = next_tokens(candidate, baseline, PROMPTS)

    np.testing.assert_allclose(np.concatenate([one.kl for one in alone]), together.kl, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(in_twos.kl, together.kl, rtol=1e-5, atol=1e-7)


@every_family
def test_logits_that_do_not_fit_at_once_are_computed_in_pieces(family, monkeypatch):
    candidate, baseline, held = random_model(family, 1), random_model(family, 0), []
    whole, logits = next_tokens(candidate, baseline, PROMPTS), compute.logits
    for module in (compute, pairs):
        monkeypatch.setattr(module, "NUMBERS", 2 * 5 * VOCABULARY)

    def counted(*args):
        held.append(logits(*args))
        return held[-1]

    monkeypatch.setattr(compute, "logits", counted)
    pieces = next_tokens(candidate, baseline, PROMPTS)

    np.testing.assert_allclose(pieces.kl, whole.kl, rtol=1e-5, atol=1e-7)
    assert max(found.numel() for found in held) == 5 * VOCABULARY


def test_batches_hold_texts_of_one_length_and_as_many_tokens_as_fit():
    found = list(pairs.batches(PROMPTS, pairs.NUMBERS // 14))

    assert found == [[3], [0, 2], [4], [1]]
    assert list(pairs.batches(PROMPTS, pairs.NUMBERS)) == [[3], [0], [2], [4], [1]]
    assert list(pairs.batches([[0] * 2000] * 3, 1)) == [[0, 1], [2]]


@pytest.mark.parametrize("side", ["candidate", "baseline"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_with_the_side_at_fault(side, value):
    models = {"candidate": random_model("llama", 1), "baseline": random_model("llama", 0)}
    with torch.no_grad():
        models[side].get_output_embeddings().weight[5] = value

    with refused(InvalidCheckpoint, side, code="not-finite"):
        next_tokens(models["candidate"], models["baseline"], PROMPTS)


def test_models_of_different_vocabularies_are_not_comparable():
    candidate, baseline = random_model("llama"), random_model("llama")
    candidate.resize_token_embeddings(VOCABULARY + 3)

    with refused(NotTestable, VOCABULARY + 3, f"among {VOCABULARY}"):
        next_tokens(candidate, baseline, PROMPTS)


def test_there_is_no_divergence_without_texts():
    with refused(StatisticUndefined, code="empty"):
        next_tokens(random_model("llama"), random_model("llama"), [])


def test_a_probe_keeps_every_token_and_the_most_changed_ones_with_their_context(folders):
    candidate, baseline = map(handle_of, folders)
    taken = NextToken(texts=(*TEXTS, TURNS)).run(candidate, baseline)
    lengths = np.bincount(taken["text_of"])

    assert lengths.tolist()[:3] == [4, 4, 12] and lengths[3] > 2 and taken["kl"].dtype == np.float32
    assert taken["kinds"].tolist() == ["x", "y", "x", "chat"] and taken["changed"].dtype == bool
    top = taken["top_kl"]
    assert len(top) == 20 and (np.diff(top) <= 0).all() and top[0] == taken["kl"].max()
    starts = np.cumsum(lengths) - lengths
    np.testing.assert_array_equal(taken["kl"][starts[taken["top_text"]] + taken["top_position"]], top)
    for text, position, token, context in zip(
        *(taken[f"top_{name}"].tolist() for name in ("text", "position", "token", "context")), strict=True
    ):
        if text < 3:
            assert token == TEXTS[text].text[position]
            assert context == TEXTS[text].text[max(0, position - 7) : position + 1]


def test_the_likeliest_words_are_those_that_both_models_say(folders):
    candidate, baseline = map(handle_of, folders)
    taken = NextToken(texts=TEXTS).run(candidate, baseline)
    for model, name in ((candidate.model, "top_new"), (baseline.model, "top_old")):
        for i in range(5):
            ids = baseline.tokenizer(TEXTS[taken["top_text"][i]].text)["input_ids"]
            said = logits_of(model, ids)[taken["top_position"][i]].argmax()
            assert taken[name][i] == baseline.tokenizer.decode([said])


def test_nothing_is_among_the_most_changed_where_nothing_changed(folders):
    taken = NextToken(texts=TEXTS).run(handle_of(folders[1]), handle_of(folders[1]))

    assert not taken["kl"].any() and not taken["changed"].any()
    assert all(len(taken[name]) == 0 for name in taken if name.startswith("top_"))


def test_tokenizers_that_cut_differently_are_not_comparable(folders, tmp_path):
    from tokenizers import Tokenizer

    other = save_tiny_base(tmp_path / "other")
    swapped = (other / "tokenizer.json").read_text().replace('"a": 3', '"a": 4').replace('"b": 4', '"b": 3')
    assert Tokenizer.from_str(swapped).encode("ab").ids == [4, 3]
    (other / "tokenizer.json").write_text(swapped)

    with refused(NotTestable, "'abcd'"):
        NextToken(texts=TEXTS).run(handle_of(other), handle_of(folders[1]))


def test_readings_are_medians_means_and_shares_of_each_text(candidates):
    candidate, baseline = candidates
    taken = divergence.change(candidate, baseline)[0].arrays
    parts = np.split(taken["kl"].astype(float), [4, 8])

    for reading, of_one, unit in (
        (median_kl, np.median, "nats"), (mean_kl, np.mean, "nats"),
    ):  # fmt: skip
        scores = reading(candidate, baseline)
        np.testing.assert_allclose(scores.values, [[of_one(part) for part in parts]])
        assert (scores.unit, scores.population, scores.right) == (unit, "texts", None)
        assert scores.ids == tuple(text.text for text in TEXTS)
    shares = changed_share(candidate, baseline)
    np.testing.assert_allclose(shares.values, [[part.mean() for part in np.split(taken["changed"], [4, 8])]])
    assert (shares.unit, shares.right) == ("share", None)


@given(st.permutations(range(len(PROMPTS))))
def test_texts_in_another_order_give_the_same_scores_in_that_order(order):
    candidate, baseline = PAIR
    found = next_tokens(candidate, baseline, [PROMPTS[i] for i in order])
    for place, i in enumerate(order):
        np.testing.assert_allclose(found.kl[found.text_of == place], EXPECTED.kl[EXPECTED.text_of == i], rtol=1e-5)


PAIR = random_model("llama", 1), random_model("llama", 0)
EXPECTED = next_tokens(*PAIR, PROMPTS)


def test_a_probe_is_known_by_its_texts_kinds_and_turns():
    def key(**other):
        return NextToken(texts=(Text(**{"text": "a", "kind": "x"} | other),)).parameters(None)["texts"]

    assert len({key(), key(text="b"), key(kind="y"), key(turns=(("user", "a"),))}) == 4
    assert key() == key()


@pytest.fixture
def measured(folders):
    """Two measurements as a report gets them; the second of equal checkpoints, and of a kind that means harm."""
    candidate, baseline = map(handle_of, folders)
    hostile = Text(text="ab", kind="<b>")
    found = []
    for name, one, texts in (("a_method", candidate, TEXTS), ("other", baseline, (*TEXTS, hostile))):
        taken = NextToken(texts=texts).run(one, baseline)
        evidence = Evidence(method=name, seed=0, checkpoint="", key="", probe="")
        found.append(
            Measured(
                evidence,
                Measurement(key="", probe="divergence", parameters={}, checkpoint="", arrays=taken),
            )
        )
    return found


def test_a_section_shows_every_checkpoint_kind_and_changed_token(measured, tmp_path):
    setting = Setting(testbed=types.Testbed(name="t"), colours={"a_method": "#000000", "other": "#E69F00"})
    (section,) = show(measured, setting)
    _, overall, _, kinds, picture, folded = section.parts

    assert section.title == "Next-token divergence"
    assert [row[0] for row in overall.rows] == ["a_method, seed 0", "other, seed 0"]
    assert overall.rows[1][1:] == ["0", "0", "0 [0, 0.602]", "4", "22"]
    assert [row[1] for row in kinds.rows] == ["x", "y", "x", "y", "&#60;b>"]
    assert folded.folded and len(folded.rows) == 20 and all(len(row) == len(folded.headers) for row in folded.rows)
    write_picture(tmp_path / "picture.png", picture)
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_there_is_no_section_where_nothing_was_measured():
    assert not list(show([], Setting(testbed=types.Testbed(name="t"), colours={})))


@given(st.text("ab c", max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), max_size=6))
def test_marked_pieces_are_the_text_and_each_stands_where_its_context_ends(text, spots):
    changed = [
        (text[:stop], Piece(text[max(0, stop - width) : stop], 0.5, "why"))
        for stop, width in spots
        if 0 < stop <= len(text)
    ]
    pieces = list(pieces_of(text, changed))

    assert "".join(piece.text for piece in pieces) == text
    assert bool(changed) == any(piece.weight for piece in pieces)


def test_a_changed_token_that_is_not_in_the_text_as_it_stands_is_not_marked():
    assert list(pieces_of("a b", [("<user> a", Piece(" a", 1.0, "why"))])) == [Piece("a b")]
