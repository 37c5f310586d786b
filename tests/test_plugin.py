"""The real suites, run by real pytest processes on the tiny testbed: options, outcomes, exit codes, reports."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file, save_file

from depthgauge_testbeds.pocket import POCKET
from tests.processes import ROOT, refusal, rows, trained

SLOW_TO_IMPORT = {"torch", "transformers", "datasets", "trl", "lm_eval", "scipy", "matplotlib", "jinja2", "sklearn"}


def test_a_run_trains_each_method_once_and_the_next_one_nothing(depthgauge, place):
    first = depthgauge("--method=depthscaled")
    second = depthgauge("--method=depthscaled")

    assert trained(first) == [("depthscaled", "0"), ("gradreg", "0"), ("grpo", "0")]
    assert trained(second) == []
    assert "measuring" not in second.stdout
    assert "trained already: none" in first.stdout
    assert "trained already: grpo, gradreg, depthscaled" in second.stdout
    assert first.returncode == second.returncode in (0, 1, 20)
    assert f"exit {first.returncode}:" in first.stdout


@pytest.mark.heavy
def test_two_workers_give_the_same_rows_and_train_each_method_once(depthgauge, place):
    serial = depthgauge("--method=depthscaled")
    workers = depthgauge("--method=depthscaled", "-n2", store="store2", reports="reports2")

    assert trained(workers) == [("depthscaled", "0"), ("gradreg", "0"), ("grpo", "0")]
    assert rows(place)["verdicts"] == rows(place, reports="reports2")["verdicts"]
    assert serial.returncode == workers.returncode


def test_the_report_has_every_claim_and_what_a_reader_needs(depthgauge, place):
    depthgauge("--method=depthscaled")
    page = (place / "reports" / "depthscaled" / "report.md").read_text()
    record = rows(place)

    assert {"schema", "run", "verdicts", "not_judged", "not_run", "exit_code"} == set(record)
    facts = {
        "testbed",
        "judged",
        "checkpoints",
        "limits",
        "seeds",
        "device",
        "dtype",
        "versions",
        "started",
        "elapsed_s",
    }
    assert set(record["run"]) == facts
    assert (record["schema"], record["run"]["judged"]) == (4, ["depthscaled"])
    assert all(row["claim"] in page and row["outcome"] in page for row in record["verdicts"])
    keys = {"point", "low", "high", "level", "unit", "n", "generalises_over"}
    assert all(keys <= set(row["estimate"]) for row in record["verdicts"] if row["outcome"] != "NOT_TESTABLE")
    for section in ("## Claims", "## Tasks", "## Entropy and diversity", "## Training", "## Environment"):
        assert section in page
    for plot in ("tasks.png", "entropy.png"):
        assert f"]({plot})" in page and (place / "reports" / "depthscaled" / plot).stat().st_size > 5000
    assert str(place) not in json.dumps(record)


def test_the_verdicts_alone_go_to_the_step_summary(depthgauge, place):
    depthgauge("--method=grpo", "-k", "science", GITHUB_STEP_SUMMARY=str(place / "summary.md"))
    summary = (place / "summary.md").read_text()

    assert summary == (place / "reports" / "grpo" / "summary.md").read_text()
    assert "| **science-gain-over-base**" in summary and "## Tasks" not in summary


@pytest.mark.heavy
def test_an_adopted_folder_is_judged_and_nothing_is_trained_for_it(depthgauge, place):
    depthgauge("--method=depthscaled")
    [folder] = [f.parent for f in (place / "store").glob("checkpoints/*/recipe.json") if '"grpo"' in f.read_text()]
    adopted = place / "some|<b>body's"
    shutil.copytree(folder, adopted, ignore=shutil.ignore_patterns("training_log.json", "recipe.json"))

    done = depthgauge("--method=depthscaled", f"--checkpoint={adopted}", "-k", "science or reward")
    page = (place / "reports" / f"adopted-{adopted.name}" / "report.md").read_text()
    outcomes = {row["claim"]: row for row in rows(place, f"adopted-{adopted.name}")["verdicts"]}

    assert trained(done) == []
    assert outcomes["reward-rises"]["outcome"] == "NOT_TESTABLE"
    assert outcomes["science-gain-over-grpo"]["estimate"]["point"] == 0
    assert "3 not testable" in done.stdout
    assert "<b>" not in page


@pytest.mark.heavy
def test_several_seeds_speak_about_the_method(depthgauge, place):
    depthgauge("--method=depthscaled", "-n2")
    done = depthgauge("--method=depthscaled", "--seeds=2", "-n2", reports="seeds")
    verdicts = rows(place, "depthscaled", "seeds")["verdicts"]
    estimates = [row["estimate"] for row in verdicts if row["estimate"]]
    unmeasured_of_one = {row["claim"] for row in rows(place, "depthscaled")["verdicts"] if not row["estimate"]}
    reasons = [row["reason"] for row in verdicts if not row["estimate"] and row["claim"] not in unmeasured_of_one]

    assert done.returncode in (0, 1, 20)
    assert {estimate["generalises_over"] for estimate in estimates} == {"seeds"}
    assert {estimate["n"] for estimate in estimates} == {2, 4}  # of one training, and of two that are not paired
    assert [reason for reason in reasons if not reason.endswith(("has no width.", "ask with one seed."))] == []


@pytest.mark.parametrize(
    "damage, sentence",
    [
        ("nan", "weights in model.norm.weight that are NaN or infinite"),
        ("pickle", "pickled weights"),
        ("code", "remote code"),
        ("tokenizer", "another tokenizer than its base"),
    ],
)
def test_an_untrustworthy_folder_is_one_sentence_and_exit_21(depthgauge, place, tiny_base, damage, sentence):
    folder = shutil.copytree(tiny_base, place / damage)
    if damage == "nan":
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"][:] = float("nan")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    elif damage == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif damage == "code":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"auto_map": {}, "model_type": "nobodys"}))
    else:
        text = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(text.replace('"a"', '"z"'))
    done = depthgauge(f"--checkpoint={folder}", store="unused")

    assert done.returncode == 21
    assert sentence in refusal(done)
    assert trained(done) == []


@pytest.mark.heavy
def test_a_corrupt_checkpoint_in_the_store_is_one_sentence_and_exit_21(depthgauge, place):
    depthgauge("--method=grpo")
    shutil.copytree(place / "store", place / "torn")
    for weights in (place / "torn").glob("checkpoints/*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])
    done = depthgauge("--method=grpo", store="torn")

    assert done.returncode == 21
    assert "is corrupt at model.safetensors: delete that folder and run again" in refusal(done)


@pytest.mark.heavy
def test_a_training_that_fails_fails_once_and_says_so_to_all(depthgauge, place):
    done = depthgauge("--method=sick", "-n2", store="sick")

    assert done.returncode == 21
    assert len(trained(done)) == 1
    assert "training 'sick' is unhealthy: silent no-learning" in refusal(done)
    assert "It failed earlier in this run and is not tried again" in done.stdout


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            ["--method=depthscale"],
            "unknown method 'depthscale'. Did you mean 'depthscaled'? Registered: base_model",
        ),
        (["--method=random_weights"], "'random_weights' is a control"),
        (["--method=,"], "names no method"),
        (["--seeds=0", "--method=grpo"], "must be at least 1, got 0"),
        (["--checkpoint=.", "--seeds=3"], "--checkpoint is one training, and --seeds=3 asks about several"),
        (["--checkpoint="], "--checkpoint= names no checkpoint"),
        (["--store="], "--store= names no folder"),
        (["--method=all,grpo"], "'all' stands alone, and means grpo, gradreg"),
        (["--device=tpu"], "unknown device 'tpu': choose auto, cpu or cuda"),
        (["--checkpoint=/nowhere"], "there is no checkpoint folder /nowhere"),
        (["--checkpoint=grpo"], "--checkpoint=grpo is a method: judge it with --method=grpo"),
        (["--checkpoint=gradregs"], "--checkpoint=gradregs is no folder and no method. Did you mean 'gradreg'?"),
        (["--tasks=common"], "--tasks is about two checkpoints: give the baseline with --baseline"),
        (["--baseline=grpo"], "--baseline names the baseline: name the candidate with --checkpoint"),
        (["--baseline=grpo", "--method=grpo"], "--method is about methods, and --baseline about two checkpoints"),
        (["--suites=article", "--method=grpo"], "unknown suite 'article'. Did you mean 'articles'? Choose of "),
        (["--suites=", "--method=grpo"], "--suites has no value: give one, or leave the option out"),
        (["--suites=all", "--baseline=grpo", "--checkpoint=."], "--suites is about methods, and --baseline about two"),
        ([], "name what to judge: a method, --method=NAME of grpo, gradreg, depthscaled"),
        (["-n2"], "or a finished checkpoint, --checkpoint=NAME, with --testbed=NAME of "),
        (["--dtype=int8"], "unknown dtype 'int8': choose float32, bfloat16, or auto"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_4(depthgauge, options, sentence):
    done = depthgauge(*options, store="unused")

    assert done.returncode == 4
    assert sentence in refusal(done)


def test_an_unknown_testbed_is_one_sentence_and_exit_4(depthgauge):
    done = depthgauge(testbed="poket")

    assert done.returncode == 4
    assert "unknown testbed 'poket'. Did you mean 'pocket'?" in refusal(done)
    assert all(name in refusal(done).partition("Registered: ")[2] for name in ("tiny", "pocket", "science"))


def test_a_store_that_cannot_be_written_is_one_sentence_and_exit_4(depthgauge, place):
    (place / "a_file").write_text("")
    done = depthgauge("--method=grpo", store="a_file/store")

    assert done.returncode == 4
    assert "cannot be written" in refusal(done)


def test_a_damaged_checkpoint_is_one_sentence_and_exit_21_before_any_training(depthgauge, place, tiny_base):
    damaged = shutil.copytree(tiny_base, place / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    done = depthgauge(f"--checkpoint={damaged}", store="unused")

    assert done.returncode == 21
    assert "is truncated" in refusal(done)
    assert trained(done) == []
    assert not (place / "unused" / "staging").exists()


@pytest.mark.heavy
def test_a_corrupt_measurement_is_one_sentence_and_exit_21(depthgauge, place):
    depthgauge("--method=grpo")
    shutil.copytree(place / "store", place / "corrupt")
    for arrays in (place / "corrupt").glob("measurements/*/arrays.npz"):
        content = bytearray(arrays.read_bytes())
        content[len(content) // 2] ^= 1
        arrays.write_bytes(content)
    done = depthgauge("--method=grpo", store="corrupt")

    assert done.returncode == 21
    assert re.search(r"the store entry .* is corrupt at arrays.npz: delete that folder and run again", refusal(done))


def test_collecting_lists_claims_without_what_takes_seconds_to_import():
    code = "import sys, pytest; status = pytest.main(['--collect-only', '-q', '--method=depthscaled', 'suites/']); "
    code += f"print(int(status), *{SLOW_TO_IMPORT!r}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0"
    assert "test_science_rises_above_base[depthscaled]" in done.stdout


def test_the_harness_imports_no_torch():
    code = "import sys, depthgauge, depthgauge_methods, depthgauge_testbeds; "
    code += "print('torch' in sys.modules, 'scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_help_names_every_option():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    names = (
        "method",
        "testbed",
        "seeds",
        "first-seed",
        "device",
        "dtype",
        "store",
        "report-dir",
        "checkpoint",
        "baseline",
    )
    for name in names:
        assert f"--{name}=" in done.stdout and f"--depthgauge-{name}=" in done.stdout


# -- checkpoints of other kinds ---


def test_a_method_brings_its_testbed_and_the_claims_that_speak_of_it(depthgauge):
    suites = {"grokking": {"test_grokking.py"}, "induction": {"test_circuits.py"}}
    for method, suite in suites.items():
        done = depthgauge(f"--method={method}", "--collect-only", "-q", testbed=None)
        collected = set(re.findall(r"(test_\w+\.py)::", done.stdout))
        assert collected == suite


def test_methods_of_two_testbeds_are_not_judged_in_one_run(depthgauge):
    done = depthgauge("--method=grokking,grpo", testbed=None)

    assert done.returncode == 4
    assert "'grpo' is not a method of testbed 'modular_addition': choose one of grokking," in refusal(done)


@pytest.fixture(scope="module")
def modular_folder(tmp_path_factory):
    """A small model that has learnt a few sums."""
    from tests.test_modular import SMALL, job, train_modular

    folder = tmp_path_factory.mktemp("modular") / "sums"
    train_modular(job(folder, SMALL))
    return folder


@pytest.mark.heavy
def test_a_modular_checkpoint_is_judged_and_pictured(depthgauge, place, modular_folder):
    done = depthgauge("--method=grokking", f"--checkpoint={modular_folder}", "-k", "key_frequencies_only", testbed=None)
    (row,) = rows(place, "adopted-sums")["verdicts"]
    page = (place / "reports" / "adopted-sums" / "report.md").read_text()

    assert trained(done) == []
    assert (row["claim"], row["outcome"]) == ("logit-map-holds-key-frequencies-only", "REFUTED")
    assert (row["control"], row["control_outcome"]) == ("grokking_untrained", "REFUTED")
    assert done.returncode == 1
    assert "## Frequencies" in page
    assert {"frequencies.png", "last_token.png"} <= {
        path.name for path in (place / "reports" / "adopted-sums").glob("*")
    }


@pytest.mark.heavy
def test_the_circuits_of_any_language_model_can_be_judged(depthgauge, place):
    folder = place / "anybody"
    shutil.copytree(POCKET.base, folder)
    done = depthgauge("--method=induction", f"--checkpoint={folder}", "-k", "induction_head_copies", testbed=None)
    (row,) = rows(place, "adopted-anybody")["verdicts"]

    assert trained(done) == []
    assert row["claim"] == "induction-head-copies"
    assert row["outcome"] in ("SUPPORTED", "REFUTED")
    assert done.returncode in (0, 1)
    assert "## Circuits" in (place / "reports" / "adopted-anybody" / "report.md").read_text()


@pytest.mark.heavy
def test_a_checkpoint_of_another_kind_is_not_testable(depthgauge, place, tiny_base, modular_folder):
    cases = (
        ("grokking", tiny_base, "few_key", "is a qwen3 checkpoint, and this is defined for modular_addition", None),
        ("depthscaled", modular_folder, "formulae", "is a modular_addition checkpoint, and this is asked of", "tiny"),
        ("depthscaled", modular_folder, "reward_rises", "training log of 'adopted-sums' has no 'reward'", "tiny"),
        ("induction", modular_folder, "head_copies", "is a modular_addition checkpoint, and this is asked of", None),
    )
    for method, folder, chosen, sentence, testbed in cases:
        done = depthgauge(f"--method={method}", f"--checkpoint={folder}", "-k", chosen, testbed=testbed)
        verdicts = rows(place, f"adopted-{folder.name}")["verdicts"]
        assert {row["outcome"] for row in verdicts} == {"NOT_TESTABLE"}
        assert all(sentence in row["reason"] for row in verdicts)
        assert done.returncode == 20


# -- which suites judge ---


def collected(done):
    """The files of which claims were collected."""
    return set(re.findall(r"(test_\w+)\.py::", done.stdout))


TASKS = ("science", "history", "mathematics")
ARTICLES = {
    "test_attention",
    "test_capability",
    "test_diversity",
    "test_entropy",
    "test_noise_trace",
    "test_tokenization",
    "test_weights",
}


def test_a_method_is_judged_by_the_suites_that_it_and_its_testbed_name(depthgauge):
    articles = depthgauge("--method=depthscaled", "--collect-only", "-q", testbed="pocket")
    adapters = depthgauge("--method=gift", "--collect-only", "-q", testbed="pocket")

    assert collected(articles) == ARTICLES | {"test_training_health"}
    assert "test_gift" in collected(adapters) and "test_gaussian_weights" not in collected(adapters)


@pytest.mark.parametrize(
    "path, options, files",
    [
        ("", ["--suites=circuits"], {"test_circuits"}),
        ("", ["--suites=circuits,training_health"], {"test_circuits", "test_training_health"}),
        ("depthgauge_suites/circuits", [], {"test_circuits"}),
        ("depthgauge_suites/circuits/test_circuits.py", [], {"test_circuits"}),
        ("depthgauge_suites/layer_papers/test_gaussian_weights.py", [], {"test_gaussian_weights"}),
        ("depthgauge_suites/layer_papers/test_gaussian_weights.py", ["--suites=circuits"], {"test_gaussian_weights"}),
    ],
)
def test_a_suite_that_is_named_judges_and_a_file_that_is_given_does(depthgauge, path, options, files):
    done = depthgauge("--method=grpo", *options, "--collect-only", "-q", suite=ROOT / "suites" / path, testbed="pocket")

    assert collected(done) == files


def test_all_suites_judge_where_all_are_asked_for(depthgauge):
    done = depthgauge("--method=all", "--suites=all", "--collect-only", "-q", testbed="pocket")

    assert collected(done) > ARTICLES | {"test_circuits", "test_skill_paths", "test_training_health"}


def test_claims_of_a_projects_own_are_judged_beside_them(depthgauge, place):
    own = place / "test_own_claims.py"
    own.write_text((ROOT / "suites" / "depthgauge_suites" / "articles" / "test_weights.py").read_text())
    done = depthgauge("--method=grpo", "--suites=circuits", "--collect-only", "-q", suite=own, testbed="pocket")

    assert collected(done) == {"test_own_claims"}


def test_options_without_a_claim_are_nobodys_business(depthgauge, place):
    test = place / "test_theirs.py"
    test.write_text("def test_theirs():\n    pass\n")
    done = depthgauge(suite=test, testbed=None)

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


# -- what any training owes its base ---


@pytest.mark.heavy
def test_a_testbed_that_names_no_suite_is_judged_by_what_is_owed_to_its_base(depthgauge, place):
    done = depthgauge("--method=grpo", "--pyargs", "depthgauge.checks", testbed="own", reports="owed", store="owed")
    verdicts = rows(place, "grpo", reports="owed")["verdicts"]
    by_task = {f"{claim}[{task}]" for claim in ("gain-over-base", "not-worse-than-base") for task in TASKS}

    assert done.returncode in (0, 1, 20), done.stdout[-2000:]
    assert {row["claim"] for row in verdicts} == by_task | {
        "entropy-not-collapsed-from-base",
        "weights-moved-from-base",
        "no-layer-out-of-line-from-base",
        "reward-rises",
        "groups-have-reward-variance",
    }
    moved = next(row for row in verdicts if row["claim"] == "weights-moved-from-base")
    assert (moved["outcome"], moved["control_outcome"]) == ("SUPPORTED", "REFUTED")


def test_a_finished_checkpoint_is_judged_without_a_method(depthgauge, place, tiny_base):
    same = shutil.copytree(tiny_base, place / "untrained" / "same")
    options = [f"--checkpoint={same}", "-k", "weights-moved", "--pyargs", "depthgauge.checks.method"]
    done = depthgauge(*options, testbed="own", reports="same", store="owed")
    (row,) = rows(place, "adopted-same", reports="same")["verdicts"]

    assert done.returncode == 1
    assert (row["claim"], row["outcome"]) == ("weights-moved-from-base", "REFUTED")
