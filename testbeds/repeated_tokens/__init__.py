"""Random tokens that repeat: where a small attention-only transformer must form induction heads."""

from pathlib import Path

from harness import TESTBEDS, AttentionTestbed

REPEATED_TOKENS = TESTBEDS.register(
    AttentionTestbed(name="repeated_tokens", ledger=Path(__file__).with_name("ledger.json"))
)
