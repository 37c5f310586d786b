"""Under `equal` a divergence is held to what changes nothing; under `quantized` to a margin that bits do not widen."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from depthgauge import api
from depthgauge.checks import test_quantized as bars
from depthgauge.core.claim import Expectation
from depthgauge.core.result import Outcome
from depthgauge.formats.rules import levels_by, rule_named
from depthgauge.history.catalogue import claims_of
from depthgauge.probes.floor.compute import floors, log_probabilities, within_bfloat16
from depthgauge.report.headline import About, headline_of
from depthgauge.report.outcome import exit_code
from tests.families import random_model
from tests.test_formats import BASE, FIXTURES, copied, rows  # noqa: F401
from tests.test_report import row

TOKENS = [[5, 6, 7, 8, 9, 3], [4, 8, 1, 2, 11, 3]]


def test_half_a_step_of_bfloat16_moves_what_is_stored_in_it_and_nothing_that_is_0():
    model = random_model("llama")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
        model.model.norm.weight[0] = 0
    moved = within_bfloat16(model)
    for before, after in zip(model.parameters(), moved.parameters(), strict=True):
        assert ((after - before).abs() <= 2.0**-8 * before.abs()).all()
    assert moved.model.norm.weight[0] == 0
    assert not torch.equal(moved.lm_head.weight, model.lm_head.weight)


def test_the_floor_of_rounding_lies_above_those_of_batches_and_kernels():
    model = random_model("llama")
    found = floors(model, TOKENS)
    assert found.precision.shape == (2,) and (found.precision > 1e-7).all()
    assert (found.batch < 1e-9).all() and (found.kernel < 1e-9).all()
    assert torch.allclose(log_probabilities(model, TOKENS[:1]).exp().sum(-1), torch.ones(1, 6, dtype=torch.float64))


def compared(folder, store, claim, **options):
    result = api.compare(
        BASE, folder, claims=[claim], all_stages=True, store=store, tell=lambda line: None, **options
    )  # fmt: skip
    return result, rows(result)[claim]


@pytest.mark.heavy
def test_int8_is_refused_where_no_change_was_meant_and_the_expectation_that_fits_is_named(copied, tmp_path):  # noqa: F811
    claim, store = "divergence-within-floor", tmp_path / "store"
    result, refused = compared(copied("ct-w8"), store, claim, expect="equal")
    assert result.exit_code == 1 and refused.control_outcome is Outcome.REFUTED
    assert "--expect=quantized" in str(result.headline) and "nats (half a step of bfloat16)" in str(result.headline)
    plain = shutil.copytree(BASE, tmp_path / "plain")
    stored = load_file(plain / "model.safetensors")
    save_file({name: tensor.float() for name, tensor in stored.items()}, plain / "model.safetensors")
    assert compared(plain, store, claim)[1].outcome is Outcome.SUPPORTED


@pytest.mark.heavy
def test_a_guessed_rounding_stands_in_the_headline(tmp_path):
    plain = shutil.copytree(BASE, tmp_path / "plain")
    stored = load_file(plain / "model.safetensors")
    for name in stored:
        if "_proj" in name:
            weight = stored[name].float().numpy()
            stored[name] = torch.from_numpy(levels_by(rule_named("int4-g32"), weight, name).nearest(weight))
    save_file(stored, plain / "model.safetensors")
    result, judged = compared(plain, tmp_path / "store", "within-twins", expect="quantized")
    assert judged.outcome is Outcome.SUPPORTED
    assert "guessed to be rounded to 4 bits in groups of 32" in str(result.headline)


ABSOLUTE = row(Outcome.NOT_TESTABLE, claim="divergence-within-bits", stage="internals", absolute=True)
OTHER = row(Outcome.SUPPORTED, claim="within-twins", stage="internals")


def test_a_run_without_a_supported_absolute_claim_is_inconclusive_and_says_so():
    shown = replace(ABSOLUTE, outcome=Outcome.SUPPORTED)
    assert exit_code([OTHER, shown], [], 0) == 0 == exit_code([OTHER], [], 0)
    assert exit_code([OTHER, ABSOLUTE], [], 0) == 20 == exit_code([OTHER, replace(ABSOLUTE, required=False)], [], 0)
    assert exit_code([OTHER, ABSOLUTE, shown], [], 0) == 0
    assert "nothing shows that it is good enough" in str(headline_of([OTHER, ABSOLUTE], [], 20, About(title="a")))


def test_fewer_bits_than_4_buy_no_wider_margin():
    absolute = [test.__claim__ for test in claims_of(bars) if test.__claim__.absolute]
    assert len(absolute) == 2 and all(claim.expect is Expectation.QUANTIZED for claim in absolute)
    for claim in absolute:
        assert claim.for_bits(2).region == claim.for_bits(3).region == claim.for_bits(4).region
        assert claim.for_bits(4).region != claim.for_bits(5).region
