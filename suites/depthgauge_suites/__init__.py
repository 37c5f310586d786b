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

# Of the sources: statements without a test, as docs/article-claims.md has them, and what names nothing to measure.
UNTESTABLE = {
    "Dangi 2026a: The peak shows that finding the subject matters most":
        "what a peak is for is not in its height",
    "Dangi 2026a: A word for taste now attends to words of physics":
        "no prompt, head or figure is named",
    "Dangi 2026a: Later layers could not reason otherwise":
        "it takes a model kept from joining pieces and from nothing else",
    "Dangi 2026a: One head joins pieces and follows grammar at once":
        "two readings of one map, and no measure of either",
    "Dangi 2026b: Facts are recalled in the middle and late layers":
        "a premise about language models, from other papers; no figure of the article shows it",
    "Dangi 2026b: The penalty flattens the loss":
        "the loss is over rollouts of its own policy, and no curvature of it was published",
    "Dangi 2026b: Noise on embeddings fades within a few layers":
        "no method here perturbs embeddings, and the article gives no figure",
    "Dangi 2026b: That layer holds a circuit that inhibits errors":
        "an explanation of the spike, which is judged first; it names no head or neuron",
    "Dangi 2026b: Qwen models learn even from random rewards":
        "said of other people's runs of other sizes; no weights of Qwen are here",
    "a rebuttal to 'Reviewer 1'":
        "names no paper and no system that could be measured",
}  # fmt: skip
