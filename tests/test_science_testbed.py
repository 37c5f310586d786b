"""The articles' set-up: what it says where nothing was fetched, and the whole of it on a stand-in."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from depthgauge import TESTBEDS
from depthgauge.core.testbed import Item
from depthgauge.probes.attention import MarkedText
from depthgauge_methods.settings import PUBLISHED
from depthgauge_suites.articles.noise_trace import Landmarks
from depthgauge_testbeds.pocket import POCKET, questions
from depthgauge_testbeds.science import articles_judge, ends_in_the_number, last_number, science
from tests.processes import ROOT, refusal, rows, trained

CHAT = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %} {% endif %}"
JUDGED = "science or history or mathematics or rises or spike"  # what is not as on any other testbed
TASK = """
task: stand_in_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_punctuation: true}}]
"""


@pytest.mark.parametrize(
    "text, number",
    [
        ("so the answer is 42.", 42), ("from 3 to -1.5e3 J", -1500), ("1,024 bytes", 1024), ("about 6.0 x 10^23", 6e23),
        ("$3 \\times 10^{-2}$ m", 0.03), ("none", None), ("5 apples and 7 pears", 7),
    ],
)  # fmt: skip
def test_the_last_number_of_a_text_is_read(text, number):
    assert last_number(text) == (None if number is None else pytest.approx(number))


def test_an_answer_counts_within_a_hundredth_of_the_references_last_number():
    item = Item(id="1", prompt="q", answer="First 3, and so 200 m.")

    assert [ends_in_the_number(item, said) for said in ("It is 201 m.", "It is 203 m.", "200, or 3", "far")] == [
        1,
        0,
        0,
        0,
    ]


def test_the_set_up_is_the_articles():
    testbed = TESTBEDS["science"]

    assert testbed.base == "Qwen/Qwen3-4B"
    assert testbed.inputs(Landmarks) == (Landmarks(late=tuple(range(20, 36)), spike=18),)
    assert [(task.called, task.temperature, task.repeats) for task in testbed.tasks] == [
        ("science", None, 1), ("history", 0.6, 3), ("mathematics", 0.6, 3),
    ]  # fmt: skip
    assert {task.max_answer_tokens for task in testbed.tasks} == {20_000}
    assert testbed.inputs(MarkedText)[0].terms == ("H2SO4",)
    scale = testbed.training.scale
    assert testbed.training.method_settings == {**PUBLISHED, "fidelity_every": 0}
    assert (scale.learning_rate, scale.group_size) == (1e-5, 4)


def run(place, *options, **environment):
    command = [sys.executable, "-m", "pytest", str(ROOT / "suites"), f"--store={place / 'store'}"]
    command += [f"--report-dir={place / 'reports'}", *options]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "hf")} | environment,
    )  # fmt: skip


def test_without_weights_or_data_a_sentence_says_what_to_fetch(tmp_path, tiny_base):
    base = run(tmp_path, "--testbed=science", "--method=grpo")
    data = run(tmp_path, "--testbed=science", "--method=grpo", f"--base-model={tiny_base}")

    assert "'hf download Qwen/Qwen3-4B' brings it, and --base-model names another model." in refusal(base)
    assert "bring it with 'hf download --repo-type dataset camel-ai/physics'" in refusal(data)


@pytest.fixture
def stand_in(tmp_path):
    """A model of Qwen3's architecture with a chat template, CAMEL's columns, and three tasks of lm-eval."""
    base = shutil.copytree(POCKET.base, tmp_path / "base")
    (base / "chat_template.jinja").write_text(CHAT)
    asked = [one for one in questions.training("science") if one.kind == "neutrons"][:40]
    for name, part in (("physics", asked[:20]), ("chemistry", asked[20:])):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"topic;": name, "message_1": one.prompt, "message_2": one.answer}) for one in part]
        (tmp_path / name / "train.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "tasks").mkdir()
    for name in ("science", "history", "mathematics"):
        file = tmp_path / "tasks" / f"{name}.jsonl"
        task = questions.exam(name)[:24]
        file.write_text("".join(json.dumps({"question": q.prompt, "answer": q.answer}) + "\n" for q in task))
        (tmp_path / "tasks" / f"{name}.yaml").write_text(TASK.format(name=name, file=file))
    return tmp_path


@pytest.fixture
def judge():
    """It marks by whether a digit is said; and it is slow, prosaic, busy, and for a while does not speak sense."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
            asked.append(text)
            said = text.partition("Answer to mark: ")[2].partition("\n\nGive three")[0]
            number, right = len(asked), float(any(map(str.isdigit, said)))
            marks = json.dumps({"factual": right, "concise": round(1 / (1 + len(said)), 2), "format": 1})
            if number % 40 == 7:
                time.sleep(1.5)
            content = "I would call that a good answer." if number % 40 == 11 else marks
            self.send_response(503 if number % 40 in (17, 18) else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": content}}]}).encode())

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # a client that does not wait is meant
    threading.Thread(target=http.serve_forever, daemon=True).start()
    http.asked, http.endpoint = asked, f"http://127.0.0.1:{http.server_address[1]}/v1"
    yield http
    http.shutdown()
    http.server_close()


@pytest.mark.heavy
def test_the_whole_set_up_runs_on_a_stand_in_with_a_judge_that_falters(stand_in, judge):
    done = run(
        stand_in, "-p", "tests.science_plugin", "--testbed=stand_in", "--method=depthscaled", "-k", JUDGED,
        STAND_IN=str(stand_in), STAND_IN_JUDGE=judge.endpoint,
    )  # fmt: skip
    verdicts = {row["claim"]: row for row in rows(stand_in)["verdicts"]}

    assert done.returncode in (0, 1, 20), done.stdout[-3000:] + done.stderr[-2000:]
    assert trained(done) == [("depthscaled", "0"), ("gradreg", "0"), ("grpo", "0")]
    assert len(judge.asked) >= 3 * 8 * 16
    for claim in ("science-gain-over-base", "history-not-worse-than-base", "mathematics-not-worse-than-base"):
        assert verdicts[claim]["estimate"]["n"] == 24
    assert rows(stand_in)["not_judged"] == []
    assert verdicts["reward-rises"]["estimate"] or verdicts["reward-rises"]["reason"]  # so few steps may be refused
    assert verdicts["spike-at-layer-18"]["estimate"] is not None


def test_a_judge_takes_the_place_of_the_number_and_every_row_is_asked(stand_in):
    folder = stand_in / "physics"
    with open(folder / "train.jsonl", "a") as file:
        file.write(json.dumps({"topic;": "p", "message_1": "Why?", "message_2": "For reasons."}) + "\n")
    verified = science("one", base=stand_in / "base", data=[folder])
    judged = science("two", base=stand_in / "base", data=[folder], judge=articles_judge("http://x/v1", "g-1"))

    assert len(judged.training.prompts()) == len(verified.training.prompts()) + 1
    assert [one.training.rewards[0].name for one in (verified, judged)] == ["ends_in_the_number", "judged_by_g_1"]
