# Two commands do everything on a fresh machine with python3 (3.11 or newer), git and make: `make demo` and `make test`.
PYTHON ?= python3
EXTRA ?= test
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test faults notebooks lint docs setup clean

demo: setup
	@rm -rf runs/demo
	$(BIN)/python -m neuralop_jax train configs/darcy_small/fno.toml --out runs/demo

# Bytecode is kept, whatever is set around: without it, every process of the tests compiles all files again.
test: setup
	PYTHONDONTWRITEBYTECODE= JAX_PLATFORMS=cpu $(BIN)/python -m pytest -q -n 2 --dist worksteal

faults: setup
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -q -n 2 --timeout 3600 --long tests/faults

# All notebooks in their quick mode, with what they claim; `make notebooks FULL=1` runs them whole and keeps what they show.
notebooks: setup
	JAX_PLATFORMS=cpu $(if $(FULL),XLA_FLAGS=) $(BIN)/python -m pytest -q $(if $(FULL),-n 0 --timeout 3600 --whole-notebooks,-n 2) tests/test_notebooks.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python neuralop_jax
	$(BIN)/lint-imports

# The site of README, cards, notebooks and packages: build/docs/index.html
docs:
	$(MAKE) setup EXTRA=docs
	$(BIN)/sphinx-build -q -W --keep-going -c docs . build/docs

setup: $(VENV)/.$(EXTRA)

# A machine without the venv module gets it from virtualenv, inside this folder.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install -q --target .tools virtualenv && PYTHONPATH=.tools $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) .tools build runs
