"""Claims, a folder for each source: `pytest suites/` in a clone, `pytest --pyargs depthgauge_suites` anywhere.

Importing this registers the suites, by whose names methods and testbeds say which claims judge them.
"""

from depthgauge import SUITES, Suite

for name, summary in (
    ("articles", "the two articles, and the health of a training: what they say of GRPO and its regularisers"),
    ("articles.test_training_health", "what the log of a reinforcement learning says"),
    ("circuits", "attention heads: induction, and what training leaves of a base's circuits"),
    ("grokking", "a one-layer transformer that learns modular addition"),
    ("layer_papers", "other papers about layers, weights and heads"),
):
    suite = name.rpartition("test_")[2]
    SUITES.register(Suite(name=suite, summary=summary, modules=(f"depthgauge_suites.{name}",)))

# Of the sources' reading list: systems that no suite asks about yet, and what nobody could.
UNTESTABLE = {
    "a rebuttal to 'Reviewer 1'": "names no paper and no system that could be measured",
}
