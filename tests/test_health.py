"""Health gates name the sickness, and let the healthy pass."""

import pytest

from depthgauge.core.errors import TrainingUnhealthy
from depthgauge_methods.second_pass.health import check_healthy


def log(**columns):
    healthy = {"loss": 0.0, "grad_norm": 1.0, "frac_reward_zero_std": 0.3, "entropy": 1.0, "moved_frac": 0.9}
    rows = []
    for step in range(40):
        changed = {k: v(step) if callable(v) else v for k, v in columns.items()}
        rows.append({"step": float(step), **healthy, **changed})
    return rows


def test_a_healthy_log_passes():
    check_healthy(log(), "x")


@pytest.mark.parametrize(
    "columns, sickness",
    [
        ({"grad_norm": lambda step: float("nan") if step == 7 else 1.0}, "grad_norm is nan at step 7"),
        ({"frac_reward_zero_std": 0.95}, "silent no-learning: the median step has 95% groups without"),
        ({"entropy": lambda step: 2.0 * 0.8**step}, "collapse: entropy fell from"),
        ({"moved_frac": 0.001}, "the perturbation rounds to nothing: .* 0.10% of the weights"),
    ],
)
def test_a_sick_log_is_named(columns, sickness):
    with pytest.raises(TrainingUnhealthy, match=f"training 'x' is unhealthy: {sickness}"):
        check_healthy(log(**columns), "x")
