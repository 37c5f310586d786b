# The commands of the README, nothing else. Everything is installed into .venv on first use.

PYTHON  ?= python3
METHOD  ?= depthscaled
WORKERS ?= 2
BIN     := .venv/bin

.PHONY: help eval test check bench pocket
.DEFAULT_GOAL := help

help:  ## show this list
	@echo 'make eval [METHOD=depthscaled]   train what is missing, examine it, judge it, write reports/METHOD/report.md'
	@grep -E '^[a-z]+:.*## ' Makefile | grep -v '^eval' | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-28s%s\n", $$1, $$2}'

# Exit 20 (nothing refuted, something inconclusive) is a result and not a failure of this command. A gate calls pytest
# itself, and sees it.
eval: .venv/installed  ## (see above)
	@$(BIN)/pytest suites/ --method=$(METHOD) -n $(WORKERS) || [ $$? -eq 20 ]

test: .venv/installed  ## install everything and run the project's own tests
	$(BIN)/pytest tests/ -n $(WORKERS) --dist=loadfile

check: .venv/installed  ## linters, types and the doors between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict harness methods
	$(BIN)/lint-imports

bench: .venv/installed  ## measure against naive forms and peers (which it installs), into benchmarks/RESULTS.md
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	$(BIN)/python -m benchmarks

pocket: .venv/installed  ## rebuild the pocket base model from its corpus (about half an hour; resumes)
	$(BIN)/python -m testbeds.pocket.build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
