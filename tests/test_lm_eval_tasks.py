"""Tasks of lm-eval as tasks: the numbers of lm-eval's own command line, and every guard seen to hold."""

import copy
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, NotTestable, UsageError
from depthgauge.core.testbed import LmEvalTask
from depthgauge.tasks import blocks, lm_eval_tasks, samples, task_index, task_load
from depthgauge.tasks.blocks import blocks_of
from depthgauge.tasks.lm_eval_tasks import fetch, parameters, run_lm_eval_task
from depthgauge.tasks.samples import read_samples, write_samples
from tests.processes import refused

SHOWN = 24
END = "<|endoftext|>"
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
ACC = "{metric: acc, aggregation: mean, higher_is_better: true}"
MATCH = "{metric: exact_match, aggregation: mean, higher_is_better: true}"
YAML = {
    "letters": f"""
        output_type: multiple_choice
        fewshot_split: dev
        num_fewshot: 1
        doc_to_text: "Which letter is it, {{{{question}}}}?"
        doc_to_choice: ["ab", "b", "ccc", "dddd"]
        doc_to_target: gold
        metric_list: [{ACC}, {ACC.replace("acc", "acc_norm")}]
        metadata: {{version: 1.5}}""",
    "words": f"""
        output_type: generate_until
        doc_to_text: "Say {{{{question}}}}:"
        doc_to_target: answer
        generation_kwargs: {{until: ["~"], max_gen_toks: 12, do_sample: false}}
        filter_list:
          - {{name: first, filter: [{{function: regex, regex_pattern: "([A-Z])"}}, {{function: take_first}}]}}
          - {{name: whole, filter: [{{function: take_first}}]}}
        metric_list: [{MATCH}]""",
    "pages": """
        output_type: loglikelihood_rolling
        doc_to_text: ""
        doc_to_target: page
        metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]""",
    "guesses": f"""
        output_type: loglikelihood
        doc_to_text: "It is {{{{question}}}}"
        doc_to_target: "{{{{' ' + answer}}}}"
        metric_list: [{{metric: perplexity, aggregation: perplexity, higher_is_better: false}}, {ACC}]""",
    "shuffled": f"""
        output_type: multiple_choice
        process_docs: !function code.shuffled
        doc_to_text: "{{{{question}}}} {{{{options | join(' ')}}}}"
        doc_to_choice: options
        doc_to_target: place
        metric_list: [{ACC}]""",
    "drifting": f"""
        output_type: multiple_choice
        process_docs: !function code.drifting
        doc_to_text: "{{{{question}}}} {{{{options | join(' ')}}}}"
        doc_to_choice: options
        doc_to_target: place
        metric_list: [{ACC}]""",
}
CODE = """
import random

OWN = random.Random(42)


def mixed(docs, generator):
    def mix(doc):
        options = ["north", "east", "south", "west"]
        generator.shuffle(options)
        return {"options": options, "place": options.index("north")}

    return docs.map(mix)


def shuffled(docs):
    return mixed(docs, random)


def drifting(docs):
    return mixed(docs, OWN)


def made(pretrained, **_):
    import datasets

    rows = [{"question": str(random.random()), "gold": i % 4, "asked": pretrained} for i in range(8)]
    return {"test": datasets.Dataset.from_list(rows), "dev": datasets.Dataset.from_list(rows)}


def random_text(doc):
    return doc["question"] + str(random.random())
"""


def save_byte_model(folder, *, chat_template=None, positions=512):
    """A random Qwen3 over bytes, with its tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary[END] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, chat_template=chat_template)
    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=None,
        initializer_range=0.5,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_task(folder, name, text, **data):
    """A YAML file over the folder's rows."""
    files = {"test": str(folder / "test.jsonl"), "dev": str(folder / "dev.jsonl")} | data
    lines = [line.removeprefix(8 * " ") for line in text.strip("\n").split("\n")]
    head = [f"task: {name}", "dataset_path: json", f"dataset_kwargs: {{data_files: {json.dumps(files)}}}"]
    (folder / f"{name}.yaml").write_text("\n".join([*head, "test_split: test", *lines]) + "\n")


def questions(count, *, answers="ER"):
    return [
        {
            "question": f"number {i} of {count}{'!' * (i % 7)}",
            "gold": i % 4,
            "answer": answers[i % len(answers)],
            "page": f"Page {i} é\n\n" + "words and more words " * (1 + 5 * (i % 8)),
        }
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_byte_model(tmp_path_factory.mktemp("tasks") / "base")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, monkeypatch):
    """No data set of these tests stays in the user's cache, and nothing is fetched."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of tasks."""
    folder = tmp_path_factory.mktemp("place")
    write_rows(folder / "test.jsonl", questions(SHOWN))
    write_rows(folder / "dev.jsonl", questions(5))
    (folder / "code.py").write_text(CODE)
    for name, text in YAML.items():
        write_task(folder, name, text)
    return folder


@pytest.fixture(scope="module")
def byte_model(base):
    return opened(base)


@pytest.fixture
def run_task(base, byte_model, place):
    """Take a task of the folder, or one with other settings."""

    def run(name="letters", *, model=None, tokenizer=None, path=place, block=None, **options):
        task = LmEvalTask(name=name, path=path, **options)
        return run_lm_eval_task(task, model or byte_model[0], tokenizer or byte_model[1], folder=base, block=block)

    return run


@pytest.fixture
def own(place, tmp_path):
    """Another folder of tasks, to be spoilt: rows as in `place`, no YAML files."""
    for file in ("test.jsonl", "dev.jsonl", "code.py"):
        (tmp_path / file).write_bytes((place / file).read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def lm_eval_files(base, place, tmp_path_factory):
    """What lm-eval's own command line measures and writes, by task: one process for all of them, its cache cold."""
    out = tmp_path_factory.mktemp("lm_eval")
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "16"]
    command += ["--model_args", f"pretrained={base},dtype=float32", "--tasks", "letters,words,pages,guesses,shuffled"]
    command += ["--include_path", str(place), "--log_samples", "--output_path", str(out / "results.json")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(out / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | offline)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.name.split("_")[1]: path for path in out.glob("samples_*.jsonl")}


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def flat(value):
    return [part for one in value for part in flat(one)] if isinstance(value, list) else [value]


# --- The same numbers as lm-eval's command line -----------------------------------------------------------------------


@pytest.mark.heavy
def test_a_multiple_choice_task_scores_what_lm_eval_scores(run_task, lm_eval_files):
    for metric in ("acc", "acc_norm"):
        taken = run_task("letters", metric=metric)
        assert [row[metric] for row in rows_of(lm_eval_files["letters"])] == taken["score"][0].tolist()
        assert 0 < taken["score"].mean() < 1
        assert np.array_equal(taken["score"][0] == 1, taken["answer"] == taken["target"])
        assert (taken["sign"], taken["metric"]) == (1, metric)
    assert not np.array_equal(run_task("letters")["score"], run_task("letters", metric="acc_norm")["score"])


@pytest.mark.heavy
def test_a_task_that_generates_scores_what_lm_eval_scores_filter_by_filter(run_task, lm_eval_files):
    rows = rows_of(lm_eval_files["words"])
    for metric, wanted in ((None, "first"), ("exact_match,first", "first"), ("exact_match,whole", "whole")):
        taken = run_task("words", metric=metric)
        those = [row for row in rows if row["filter"] == wanted]
        assert len(those) == SHOWN
        assert taken["score"][0].tolist() == [row["exact_match"] for row in those]
        assert taken["answer"].tolist() == [row["filtered_resps"][0] for row in those]
    assert 0 < run_task("words")["score"].mean() < 1


@pytest.mark.heavy
def test_a_text_scores_its_bits_per_byte_and_all_texts_lm_eval_s_number(run_task, lm_eval_files):
    taken = run_task("pages")
    rows = rows_of(lm_eval_files["pages"])
    nats = np.array([row["word_perplexity"][0] for row in rows])
    lengths = np.array([len(row["doc"]["page"].encode()) for row in rows])

    assert taken["score"][0] == pytest.approx(-nats / lengths / math.log(2), rel=1e-6)
    results = json.loads(next(lm_eval_files["pages"].parent.glob("results_*.json")).read_text())["results"]
    whole = (taken["score"][0] * lengths).sum() / lengths.sum()
    assert whole == pytest.approx(results["pages"]["bits_per_byte,none"], rel=1e-6)
    assert (taken["sign"], taken["metric"]) == (-1, "bits_per_byte")


@pytest.mark.heavy
def test_a_perplexity_is_scored_so_that_lower_is_better(run_task, lm_eval_files):
    taken = run_task("guesses")

    assert taken["score"][0] == pytest.approx([-row["perplexity"] for row in rows_of(lm_eval_files["guesses"])])
    assert (taken["sign"], taken["metric"]) == (-1, "perplexity")
    assert taken["score"].min() > 0


@pytest.mark.heavy
def test_a_task_that_shuffles_its_options_asks_what_it_scores_and_what_lm_eval_asks(run_task, lm_eval_files):
    first, again = (run_task("shuffled", trust_code=True) for _ in range(2))
    rows = [json.loads(row) for row in samples.unpack(first["samples"])]

    assert first["ids"].tolist() == again["ids"].tolist()
    assert np.array_equal(first["score"], again["score"])
    assert all(" ".join(row["doc"]["options"]) in row["arguments"]["gen_args_0"]["arg_0"] for row in rows)
    assert len({row["doc"]["place"] for row in rows}) == 4
    theirs = rows_of(lm_eval_files["shuffled"])
    assert [row["doc"] for row in rows] == [row["doc"] for row in theirs]
    assert first["score"][0].tolist() == [row["acc"] for row in theirs]


def test_a_task_with_a_generator_of_its_own_is_the_same_task_for_every_checkpoint(run_task):
    first, again = (run_task("drifting", trust_code=True) for _ in range(2))

    assert first["ids"].tolist() == again["ids"].tolist()
    assert np.array_equal(first["score"], again["score"])


def test_a_task_that_makes_its_own_documents_makes_them_from_the_seed_and_is_told_the_checkpoint(run_task, own, base):
    write_task(own, "letters", "custom_dataset: !function code.made\n" + YAML["letters"])
    first = run_task("letters", path=own, trust_code=True)
    random.random()
    again = run_task("letters", path=own, trust_code=True)

    assert first["ids"].tolist() == again["ids"].tolist()
    assert {json.loads(row)["doc"]["asked"] for row in samples.unpack(first["samples"])} == {str(base)}


def test_what_an_earlier_run_left_in_the_cache_is_not_the_task(run_task, place, tmp_path, monkeypatch):
    import datasets
    from lm_eval.tasks import TaskManager

    expected = run_task("shuffled", trust_code=True)["ids"].tolist()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    random.seed(99)
    left = TaskManager(include_path=str(place), include_defaults=False).load(["shuffled"])["tasks"]["shuffled"]
    assert [f"{i}:{lm_eval_tasks.doc_hash(doc)[:12]}" for i, doc in enumerate(left.eval_docs)] != expected

    assert run_task("shuffled", trust_code=True)["ids"].tolist() == expected


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["letters", "words", "pages", "guesses"])
def test_the_file_of_samples_is_the_one_that_lm_eval_writes(run_task, lm_eval_files, name, tmp_path):
    path = tmp_path / "samples_x_2026.jsonl"
    write_samples(path, run_task(name)["samples"])

    theirs = [row for row in rows_of(lm_eval_files[name]) if row["filter"] in ("none", "first")]
    for ours, their in zip(rows_of(path), theirs, strict=True):
        assert list(ours) == list(their)
        assert [type(part) for part in flat(ours["resps"])] == [type(part) for part in flat(their["resps"])]
        same = {key for key in ours if ours[key] == their[key]}
        assert same >= {"doc_id", "doc", "target", "arguments", "filter", "metrics", "doc_hash", "prompt_hash"}


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["letters", "words", "pages", "guesses"])
def test_a_file_of_lm_eval_s_command_line_reads_as_our_own_task(run_task, lm_eval_files, name):
    taken, read = run_task(name), read_samples(lm_eval_files[name])

    for key in ("ids", "answer", "target", "sign", "metric", "ties", "thinking"):
        assert np.array_equal(taken[key], read[key]), key
    assert read["score"] == pytest.approx(taken["score"], rel=1e-6)


def test_a_task_that_lm_eval_ships_makes_its_documents_with_the_checkpoint_s_tokenizer(tmp_path, monkeypatch):
    """RULER is all that needs no network, once its module has found the word lists that this task of it ignores."""
    import nltk

    words = SimpleNamespace(_categories={"nouns": ["n"], "adjectives": ["a"], "verbs": ["v"]})
    monkeypatch.setitem(sys.modules, "wonderwords", SimpleNamespace(RandomWord=lambda: words))
    monkeypatch.setattr(nltk.data, "find", lambda name: name)
    folder = save_byte_model(tmp_path / "long", positions=8192)
    taken = run_lm_eval_task(LmEvalTask(name="ruler_fwe", limit=2), *opened(folder), folder=folder)

    assert taken["score"].shape == (1, 2)
    assert str(taken["metric"]) == "4096"
    assert json.loads(str(taken["settings"]))["output_type"] == "generate_until"


# --- What is left as it was -------------------------------------------------------------------------------------------


def test_mode_random_states_tokenizer_and_caching_are_left_as_found(run_task, byte_model):
    import datasets

    model, tokenizer = byte_model
    model.train()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    try:
        run_task("shuffled", trust_code=True), run_task("words")
        assert model.training
    finally:
        model.eval()

    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert tokenizer.pad_token is None
    assert datasets.is_caching_enabled()
    assert not model._forward_hooks


def test_two_models_in_one_process_do_not_share_answers(run_task, byte_model):
    model, _ = byte_model
    before = run_task("words")["answer"]
    handle = model.lm_head.register_forward_hook(lambda *args: -args[2])
    try:
        after = run_task("words")["answer"]
    finally:
        handle.remove()

    assert not np.array_equal(before, after)


# --- How it is asked --------------------------------------------------------------------------------------------------


def prompts(taken):
    return [json.loads(row)["arguments"]["gen_args_0"]["arg_0"] for row in samples.unpack(taken["samples"])]


def stated(taken):
    return json.loads(str(taken["settings"]))


def test_a_chat_template_is_applied_where_a_task_generates(run_task, byte_model):
    tokenizer = copy.deepcopy(byte_model[1])
    tokenizer.chat_template = CHAT
    chatted, plain, choice = (
        run_task("words", tokenizer=tokenizer),
        run_task("words", tokenizer=tokenizer, chat=False),
        run_task("letters", tokenizer=tokenizer),
    )

    assert all(prompt.startswith("<user>Say") and prompt.endswith("\n<a>") for prompt in prompts(chatted))
    assert prompts(plain) == prompts(run_task("words"))
    assert prompts(choice) == prompts(run_task("letters"))
    assert [stated(one)["chat"] for one in (chatted, plain, choice)] == [True, False, False]
    example = run_task("letters", tokenizer=tokenizer, chat=True)
    assert all(prompt.count("<user>") == 2 and prompt.count("<assistant>") == 1 for prompt in prompts(example))


def test_examples_are_the_task_s_own_or_as_many_as_are_asked_for(run_task):
    counts = [prompt.count("Which letter") for prompt in (prompts(run_task(fewshot=n))[0] for n in (None, 0, 3))]

    assert counts == [2, 1, 4]
    assert stated(run_task(fewshot=3))["num_fewshot"] == 3
    assert prompts(run_task(fewshot=3)) == prompts(run_task(fewshot=3))


def test_settings_say_how_it_was_asked(run_task):
    assert stated(run_task("words", limit=7)) == {
        "num_fewshot": 0,
        "chat": False,
        "generation_kwargs": {"until": ["~"], "max_gen_toks": 12, "do_sample": False},
        "filter": "first",
        "output_type": "generate_until",
        "version": "Yaml",
        "limit": 7,
        "items": 7,
    }
    assert stated(run_task())["version"] == 1.5


def test_a_limit_asks_some_of_the_same_items(run_task):
    whole, some = run_task("letters"), run_task("letters", limit=9)
    at = [whole["ids"].tolist().index(one) for one in some["ids"]]

    assert len(at) == 9 and at == sorted(set(at)) and at != list(range(9))
    assert np.array_equal(whole["score"][:, at], some["score"])
    assert np.array_equal(whole["answer"][at], some["answer"])
    assert some["ids"].tolist() == run_task("letters", limit=9)["ids"].tolist()
    assert len(run_task("letters", limit=1000)["ids"]) == SHOWN


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(2, 60))
def test_a_draw_is_sorted_without_repeats_and_as_large_as_asked(sizes, limit):
    documents = {f"t{i}": range(size) for i, size in enumerate(sizes)}
    drawn, whole = lm_eval_tasks.draw(LmEvalTask(name="x", limit=limit), documents)

    assert sum(map(len, drawn.values())) == min(limit, sum(sizes))
    assert all(list(places) == sorted(set(places)) for places in drawn.values())
    assert all(set(places) <= set(documents[name]) for name, places in drawn.items())
    assert (drawn, whole) == lm_eval_tasks.draw(LmEvalTask(name="x", limit=limit), documents)

    parts = [
        lm_eval_tasks.draw(LmEvalTask(name="x", limit=limit), documents, block)[0] for block in range(blocks_of(whole))
    ]
    assert {name: sorted(place for one in parts for place in one[name]) for name in documents} == drawn


def test_a_block_of_a_task_asks_some_of_its_items_and_knows_how_many_there_are(run_task, monkeypatch):
    whole = run_task("letters")
    monkeypatch.setattr(blocks, "LEAST", 8)
    some = run_task("letters", block=1)
    at = [whole["ids"].tolist().index(one) for one in some["ids"]]

    assert some["of"] == SHOWN and len(at) == 8
    assert np.array_equal(whole["score"][:, at], some["score"])


def test_an_answer_cut_short_is_told_from_one_that_stopped(run_task, own):
    for name, stop in (("stopping", "R"), ("endless", "never said")):
        write_task(own, name, YAML["words"].replace('"~"', f'"{stop}"'))
    endless, stopping = run_task("endless", path=own), run_task("stopping", path=own)
    stopped = ["R" in said for said in raw_answers(endless)]

    assert 0 < sum(stopped) < SHOWN
    assert ["R" in said for said in raw_answers(stopping)] == [False] * SHOWN
    assert stopping["truncated"] == pytest.approx(1 - np.mean(stopped))
    assert endless["truncated"] == 1
    assert run_task("letters")["truncated"] == 0


def raw_answers(taken):
    return [json.loads(row)["resps"][0][0] for row in samples.unpack(taken["samples"])]


def test_requests_that_do_not_fit_the_context_are_counted(run_task, own):
    long = [row | {"question": row["question"] + " x" * 400 * (i % 3 == 0)} for i, row in enumerate(questions(SHOWN))]
    write_rows(own / "test.jsonl", long)
    for name in ("letters", "words"):
        write_task(own, name, YAML[name])

    assert run_task("letters", path=own)["clipped"] == run_task("words", path=own)["clipped"] == pytest.approx(8 / 24)
    assert run_task("letters")["clipped"] == run_task("pages")["clipped"] == 0


@pytest.mark.parametrize("text", ["<think>hm", "hm</think> a"])
def test_answers_that_think_aloud_are_counted(text):
    row = {"arguments": {"gen_args_0": {"arg_0": "p", "arg_1": {}}}, "filtered_resps": ["a"], "target": "a"}
    row |= {"doc_id": 0, "doc_hash": "0" * 64, "exact_match": 1.0}
    answers = [samples.read_row(row | {"resps": [[said]]}, "exact_match") for said in (text, "a", "b", "c")]

    assert samples.arrays(answers, [], metric="exact_match", sign=1.0)["thinking"] == 0.25


# --- Groups -----------------------------------------------------------------------------------------------------------


def write_group(folder, members, name="all"):
    (folder / f"{name}.yaml").write_text(f"group: {name}\ntask: {json.dumps(members)}\n")


def test_a_group_is_its_tasks_items_one_after_the_other(run_task, own):
    write_task(own, "letters", YAML["letters"])
    write_task(own, "others", YAML["letters"].replace("Which", "What"))
    write_group(own, ["letters", "others"])
    whole = run_task("all", path=own)
    parts = [run_task(name, path=own) for name in ("letters", "others")]

    assert whole["score"][0].tolist() == [*parts[0]["score"][0], *parts[1]["score"][0]]
    prefixed = [f"{name}/{one}" for name, part in zip(("letters", "others"), parts, strict=True) for one in part["ids"]]
    assert whole["ids"].tolist() == prefixed
    assert {name: len(rows) for name, rows in samples.by_task(whole).items()} == {"letters": SHOWN, "others": SHOWN}
    assert len(run_task("all", path=own, limit=10)["ids"]) == 10


def test_a_tag_is_a_group(run_task, own):
    for name in ("one", "two"):
        write_task(own, name, YAML["letters"] + "\n        tag: both")

    assert len(run_task("both", path=own)["ids"]) == 2 * SHOWN


def test_a_group_of_different_metrics_is_refused(run_task, own):
    write_task(own, "letters", YAML["letters"])
    write_task(own, "words", YAML["words"])
    write_group(own, ["letters", "words"])

    with refused(UsageError, "'all'", "exact_match"):
        run_task("all", path=own)


def test_a_group_that_lists_a_task_nobody_defines_is_refused(run_task, own):
    write_task(own, "letters", YAML["letters"])
    write_group(own, ["letters", "nobody_s_task"])

    with refused(UsageError, "'all'", "'nobody_s_task'"):
        run_task("all", path=own)


@pytest.mark.heavy
def test_a_group_that_lm_eval_ships_is_all_its_tasks():
    found = task_index.find(LmEvalTask(name="mmlu"))

    assert len(found.configurations) == 57
    assert {one["dataset_path"] for one in found.configurations.values()} == {"cais/mmlu"}


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_an_unknown_task_is_answered_with_near_ones(run_task):
    with refused(UsageError, "'leters'", "'letters'") as found:
        run_task("leters")
    assert found.value.exit_code == 4

    with refused(UsageError, "'gsm8k'"):
        run_task("gsm8kk", path=None)


def test_data_that_is_not_here_is_a_sentence_with_the_command_that_gets_it(run_task, own):
    with refused(UsageError, "'gsm8k'", "depthgauge fetch gsm8k"):
        run_task("gsm8k", path=None)


def test_nothing_is_fetched_by_a_process_that_is_offline():
    with refused(UsageError, "HF_HUB_OFFLINE"):
        fetch(LmEvalTask(name="gsm8k"))


def test_fetching_loads_what_a_task_reads(place, monkeypatch):
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    seen = []
    load_dataset = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda **options: seen.append(options) or load_dataset(**options))
    fetch(LmEvalTask(name="letters", path=place))

    assert [one["path"] for one in seen] == ["json"]


def test_a_gated_data_set_is_said_to_be_gated():
    error = task_load.not_loaded(
        LmEvalTask(name="gpqa"), OSError("Dataset 'x' is a gated dataset on the Hub. Ask for access.")
    )

    assert "accept its terms on the hub, `hf auth login`, and `depthgauge fetch gpqa`" in str(error)


def test_a_chat_with_a_tokenizer_that_has_no_template_is_refused(run_task):
    with refused(UsageError, "'words'", code="no-template"):
        run_task("words", chat=True)


def test_code_of_a_folder_is_refused_unless_trusted(run_task):
    with refused(UsageError, "shuffled.yaml", "'--trust-task-code'"):
        run_task("shuffled")


@pytest.mark.parametrize(
    "line, told",
    [
        ("process_docs: !function code.shuffled", "!function code.shuffled"),
        ("class: code.Task", r"runs code of its own \(class\)"),
        ("metadata: {x: !!python/name:os.system }", "could not determine a constructor for the tag"),
        ("metadata: {custom_generate: there}", r"\(custom_generate\)"),
        ("metric_list: [{metric: ./mine.py, aggregation: mean}]", "metric './mine.py' from outside lm-eval"),
    ],
)
def test_code_is_found_below_an_include_too_and_never_run(run_task, own, line, told):
    (own / "code.py").write_text("raise SystemExit('it ran')")
    (own / "deep").mkdir()
    (own / "deep" / "shared_yaml").write_text(f"{line}\n")
    (own / "middle_yaml").write_text("include: deep/shared_yaml\n")
    write_task(own, "letters", "include: middle_yaml\n" + YAML["letters"])

    with pytest.raises(UsageError, match=told):
        run_task("letters", path=own)


def test_a_template_cannot_reach_out_of_the_sandbox(run_task, own):
    escape = "{{ cycler.__init__.__globals__.os.getcwd() }}"
    write_task(own, "letters", YAML["letters"].replace("Which letter", escape))

    with refused(UsageError, "'letters'", "SecurityError"):
        run_task("letters", path=own)
    assert str(Path.cwd()) in prompts(run_task("letters", path=own, trust_code=True))[0]


def test_a_task_that_runs_what_a_model_writes_is_refused(run_task):
    with refused(UsageError, "'humaneval'"):
        run_task("humaneval", path=None)


def test_a_file_that_lm_eval_would_leave_out_is_refused(run_task, own):
    write_task(own, "letters", YAML["letters"])
    (own / "broken.yaml").write_text("task: x\n  y: [\n")
    with refused(UsageError, "broken.yaml", "2", "YAML"):
        run_task("letters", path=own)

    (own / "broken.yaml").write_text("task: x\ninclude: gone_yaml\n")
    with refused(UsageError, "broken.yaml", "gone_yaml"):
        run_task("letters", path=own)

    (own / "broken.yaml").write_text("task: letters\n")
    with refused(UsageError, "letters.yaml", "broken.yaml", "'letters'"):
        run_task("letters", path=own)

    (own / "broken.yaml").write_text("include: broken.yaml\n")
    with refused(UsageError, code="circle"):
        run_task("letters", path=own)


def test_a_folder_that_is_not_there_is_a_sentence(run_task, tmp_path):
    with refused(UsageError, "gone"):
        run_task("letters", path=tmp_path / "gone")
    with refused(UsageError, "gone"):
        parameters(LmEvalTask(name="letters", path=tmp_path / "gone"))


def test_another_set_of_tasks_than_the_index_promised_is_refused(run_task, monkeypatch):
    from lm_eval.tasks import TaskManager

    load = TaskManager.load
    monkeypatch.setattr(TaskManager, "load", lambda self, names: load(self, [*names, "words"]))

    with refused(InvalidComparison, "'letters'", "words"):
        run_task("letters")


def test_a_metric_or_filter_that_a_task_lacks_is_refused_before_it_runs(run_task, monkeypatch):
    monkeypatch.setattr(lm_eval_tasks, "ask", None)

    with refused(UsageError, "'letters'", "'f1'", "acc_norm"):
        run_task("letters", metric="f1")
    with refused(UsageError, "'words'", "'strict'"):
        run_task("words", metric="exact_match,strict")


def test_examples_that_lm_eval_would_ignore_are_refused(run_task, own):
    write_task(own, "letters", YAML["letters"].replace("num_fewshot: 1", "num_fewshot: 0"))

    with refused(UsageError, "fewshot=5"):
        run_task("letters", path=own, fewshot=5)


def test_a_task_that_fails_inside_lm_eval_is_a_sentence(run_task):
    with refused(UsageError, "'letters'"):
        run_task("letters", fewshot=99)


def test_a_context_too_short_to_answer_in_is_not_testable(run_task, own):
    write_task(own, "words", YAML["words"].replace("max_gen_toks: 12", "max_gen_toks: 512"))

    with refused(NotTestable, "512 tokens", "is 512"):
        run_task("words", path=own)


@pytest.mark.parametrize(
    "name, told", [("letters", "a log-likelihood is"), ("pages", "a log-likelihood is"), ("words", "not finite")]
)
def test_nan_is_refused_where_lm_eval_would_score_it(run_task, byte_model, name, told):
    model = byte_model[0]
    handle = model.lm_head.register_forward_hook(lambda *args: args[2] * float("nan"))
    try:
        with pytest.raises(InvalidCheckpoint, match=told):
            run_task(name)
    finally:
        handle.remove()


def test_ties_are_counted_and_too_many_refused(run_task, own, byte_model):
    write_task(own, "letters", YAML["letters"].replace('["ab", "b", "ccc", "dddd"]', '["a", "b", "c", "d"]'))
    handle = byte_model[0].lm_head.register_forward_hook(lambda *args: args[2] * 0)
    try:
        with refused(InvalidComparison, "24 of 24", "'letters'"):
            run_task("letters", metric="acc_norm", path=own)
    finally:
        handle.remove()
    assert run_task("letters", path=own)["ties"] == 0


def test_documents_that_change_between_asking_and_scoring_are_refused(run_task, own, monkeypatch):
    write_task(own, "shuffled", YAML["shuffled"])
    monkeypatch.setattr(lm_eval_tasks, "pick", None)
    real = lm_eval_tasks.sit

    def thawed(task, name, one, *rest):
        changing = type(one).test_docs

        class Changing(type(one)):
            eval_docs = property(changing)

        one.__class__ = Changing
        return real(task, name, one, *rest)

    monkeypatch.setattr(lm_eval_tasks, "sit", thawed)
    with refused(InvalidComparison, "document 0", code="other-document"):
        run_task("shuffled", path=own, trust_code=True)


def test_a_prompt_that_is_not_made_of_its_document_is_refused(run_task, own):
    text = YAML["letters"].replace('"Which letter is it, {{question}}?"', "!function code.random_text")
    write_task(own, "letters", text)

    with pytest.raises(InvalidComparison, match=r"'letters': lm-eval asked .* and scored"):
        run_task("letters", path=own, trust_code=True)


def test_a_missing_or_repeated_document_is_refused():
    one = SimpleNamespace(OUTPUT_TYPE="generate_until", doc_to_text=lambda doc: doc["q"])
    documents = [{"q": "a"}, {"q": "b"}]
    logged = [
        {"doc_id": i, "doc": doc, "doc_hash": lm_eval_tasks.doc_hash(doc), "arguments": [(f"- {doc['q']}", {})]}
        for i, doc in enumerate(documents)
    ]
    lm_eval_tasks.check_same_task("x", one, documents, logged)

    for wrong in (logged[:1], logged[::-1], [*logged, logged[0]]):
        with refused(InvalidComparison, "'x'", 2):
            lm_eval_tasks.check_same_task("x", one, documents, wrong)


def test_a_metric_that_is_no_average_over_items_is_refused(run_task, own):
    write_task(
        own, "letters", YAML["letters"].replace("{metric: acc, aggregation: mean", "{metric: acc, aggregation: median")
    )

    with pytest.raises(InvalidComparison, match="acc of task 'letters' is .* by lm-eval and .* on average"):
        run_task("letters", path=own)


def test_a_metric_without_a_number_per_item_is_passed_over_and_refused_where_it_is_asked_for(run_task, own):
    text = YAML["letters"].replace("metric_list: [", "metric_list: [{metric: mcc, aggregation: matthews_corrcoef}, ")
    write_task(own, "letters", text)

    assert str(run_task("letters", path=own)["metric"]) == "acc"
    with pytest.raises(InvalidComparison, match="mcc is .*, not one finite number"):
        run_task("letters", path=own, metric="mcc")


# --- Parameters -------------------------------------------------------------------------------------------------------


def test_data_files_lie_beside_the_yaml_file_that_names_them_whatever_the_working_directory(
    run_task, own, tmp_path_factory, monkeypatch
):
    write_task(own, "near", YAML["letters"], test="test.jsonl", dev=["*.jsonl"])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_rows(elsewhere / "test.jsonl", questions(3))
    monkeypatch.chdir(elsewhere)
    taken = run_task("near", path=own)

    assert taken["score"].shape[1] == SHOWN
    assert np.array_equal(taken["score"], run_task("letters")["score"])


def test_data_files_that_lie_in_the_working_directory_alone_are_read_there(
    run_task, own, tmp_path_factory, monkeypatch
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_rows(elsewhere / "far.jsonl", questions(4))
    write_task(own, "far", YAML["letters"], test="far.jsonl")
    monkeypatch.chdir(elsewhere)

    assert run_task("far", path=own)["score"].shape[1] == 4


def test_parameters_open_no_heavy_library(place):
    code = f"""
import sys
from pathlib import Path
from depthgauge.tasks.lm_eval_tasks import parameters
from depthgauge.core.testbed import LmEvalTask
parameters(LmEvalTask(name="letters", path=Path({str(place)!r})))
print([name for name in ("torch", "transformers", "datasets", "lm_eval") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_parameters_change_with_all_that_determines_a_task_and_with_nothing_else(place, own, tmp_path_factory):
    write_task(own, "letters", "include: shared_yaml\n" + YAML["letters"])
    (own / "shared_yaml").write_text("repeats: 1\n")
    outside = tmp_path_factory.mktemp("outside") / "data.jsonl"
    write_rows(outside, questions(3))
    write_task(own, "others", YAML["letters"], test=str(outside))
    starred = tmp_path_factory.mktemp("starred") / "part-1.jsonl"
    write_rows(starred, questions(3))
    write_task(own, "more", YAML["letters"], test=str(starred.parent / "*.jsonl"))
    task = LmEvalTask(name="letters", path=own)
    before = parameters(task)

    settings = dict(fewshot=2, limit=5, chat=True, metric="acc", trust_code=True, name="others", path=place)
    assert all(parameters(replace(task, **{key: value})) != before for key, value in settings.items())
    for file in (own / "letters.yaml", own / "shared_yaml", own / "code.py", own / "test.jsonl", outside, starred):
        text = file.read_text()
        file.write_text(text + "\n")
        assert parameters(task) != before, file
        file.write_text(text)
        assert parameters(task) == before, file
    json.dumps(before)


# --- Files of samples -------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
LIKELIHOOD = st.floats(-1e6, 0, exclude_max=True)


@st.composite
def sample_dicts(draw):
    """Samples of a multiple choice, in the form that lm-eval hands them over."""
    rows = []
    for place in range(draw(st.integers(1, 6))):
        likelihoods = draw(st.lists(LIKELIHOOD, min_size=3, max_size=3, unique=True))
        pairs = [(one, draw(st.booleans())) for one in likelihoods]
        rows.append(
            {
                "doc_id": place,
                "doc": {"question": draw(TEXT), "numbers": [np.float64(draw(st.floats(-9, 9))), place]},
                "target": draw(st.integers(0, 2)),
                "arguments": [("Q " + draw(TEXT), f" {letter}{draw(TEXT)}") for letter in "abc"],
                "resps": [[pair] for pair in pairs],
                "filtered_resps": pairs,
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
                "prompt_hash": "p",
                "target_hash": "t",
                "acc": draw(st.sampled_from([0.0, 1.0])),
            }
        )
    return rows


@given(sample_dicts())
def test_samples_read_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("samples") / "samples_x_2026.jsonl"
    lines = [samples.on_disk(row) for row in rows]
    write_samples(path, lines)
    read = read_samples(path)
    write_samples(path, read["samples"])

    assert samples.unpack(read["samples"]) == lines
    assert all(np.array_equal(value, read_samples(path)[key]) for key, value in read.items())
    assert read["score"][0].tolist() == [row["acc"] for row in rows]
    for row, answer, target in zip(rows, read["answer"], read["target"], strict=True):
        best = int(np.argmax([pair[0] for pair in row["filtered_resps"]]))
        assert answer == row["arguments"][best][1][1:]
        assert target == row["arguments"][row["target"]][1][1:]


@given(st.lists(TEXT, max_size=8))
def test_packed_rows_unpack_as_they_were(texts):
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]

    assert samples.unpack(samples.pack(rows)) == rows


def test_every_array_of_a_task_survives_a_file(run_task, tmp_path):
    for name, metric in (("letters", "acc_norm"), ("words", "exact_match,whole"), ("pages", None), ("guesses", "acc")):
        taken = run_task(name, metric=metric)
        write_samples(tmp_path / "samples.jsonl", taken["samples"])
        read = read_samples(tmp_path / "samples.jsonl", metric=metric)

        assert set(taken) - set(read) == {"truncated", "clipped", "settings"}
        assert all(np.array_equal(read[key], taken[key]) for key in read), name


def test_arrays_can_be_stored_without_pickling(run_task, tmp_path):
    taken = run_task("words")
    np.savez(tmp_path / "arrays.npz", allow_pickle=False, **taken)

    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as file:
        assert all(np.array_equal(file[key], taken[key]) for key in taken)


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda line: line[:-5], "line 3: not JSON"),
        (lambda line: "[1]", "line 3: a sample is a JSON object, and this is a list"),
        (lambda line: line.replace('"doc_hash"', '"hash"'), "line 3: the sample has no 'doc_hash'"),
        (lambda line: line.replace('"acc"', '"accuracy"'), "line 3: the sample has no 'acc'"),
        (lambda line: line.replace('"doc_id": 2', '"doc_id": "two"'), "line 3: not a sample as lm-eval"),
        (lambda line: line.replace('"resps": [[["-', '"resps": [[["minus '), "line 3: not a sample as lm-eval"),
        (lambda line: line.replace('"arguments": {', '"arguments": [], "others": {'), "line 3: not a sample"),
    ],
)
def test_a_malformed_line_is_named(run_task, tmp_path, spoil, told):
    lines = samples.unpack(run_task()["samples"])
    path = tmp_path / "samples.jsonl"
    spoilt = spoil(lines[2])
    assert spoilt != lines[2]
    write_samples(path, [*lines[:2], spoilt, *lines[3:]])

    with pytest.raises(UsageError, match=told):
        read_samples(path)


def test_a_file_that_is_no_file_of_samples_is_a_sentence(run_task, tmp_path):
    path = tmp_path / "samples.jsonl"
    with refused(UsageError, code="unreadable"):
        read_samples(path)
    path.write_text("\n")
    with refused(UsageError, code="empty"):
        read_samples(path)
    with pytest.raises(UsageError, match="cannot be written"):
        write_samples(tmp_path / "gone" / "samples.jsonl", [])

    lines = samples.unpack(run_task()["samples"])
    write_samples(path, [*lines, lines[4]])
    with refused(UsageError, f"line {SHOWN + 1}", "line 5"):
        read_samples(path)
    write_samples(path, lines)
    with refused(UsageError, "'strict'", "'none'"):
        read_samples(path, metric="acc,strict")
