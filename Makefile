# Each command first sets up its environment, $(VENV), and again after setup.cfg changed.
# PYTHON=... chooses the interpreter; DEMO_ARGS=... and TEST_ARGS=... are passed on.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The worst row of the first run had 96.6 %.
DEMO_FLOOR := 0.94
DEMO_ARGS ?=
TEST_ARGS ?=
TPU_VENV ?= .venv-tpu
TPU_ARGS ?=
BENCH_VENV ?= .venv-bench
OLDEST_VENV ?= .venv-oldest
MUTATE_LIBRARIES ?= .venv-mutate
CHECK_ARGS ?=
BENCH_ARGS ?= --out benchmarks/results/speed.json --chart docs/speed.png
STARTUP_ARGS ?= --out benchmarks/results/startup.json
MEMORY_ARGS ?= --out benchmarks/results/memory.json --chart docs/memory.png
PUZZLEMIX_ARGS ?= --out benchmarks/results/puzzlemix.json
MINUTES ?= 60
SOAK_ARGS ?= --out benchmarks/results/soak.json --chart docs/soak.png
KILLS_ARGS ?= --out benchmarks/results/kills.json
NIGHTLY_VENV ?= .venv-nightly
LOCK_VENV ?= .venv-lock
LAWS_ARGS ?= --out benchmarks/results/laws.json
ACCELERATOR_ARGS ?=

RUN := $(VENV)/bin/python
# Two tests run at once: NumPy's own threads would only wait for one another.
PYTEST := OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest
SOURCES := keras_msda tests benchmarks notebooks
# Other Python files: the build, scripts of CI, and the site's settings.
SCRIPTS := setup.py .ci/smoke.py .ci/release.py docs/site
VENV_READY := $(VENV)/.stamp-venv
DEMO_READY := $(VENV)/.stamp-demo
DEV_READY := $(VENV)/.stamp-dev
LOCK := tests/dev-requirements.txt
TPU_READY := $(TPU_VENV)/.stamp-tpu
BENCH_READY := $(BENCH_VENV)/.stamp-bench
OLDEST_READY := $(OLDEST_VENV)/.stamp-oldest
MUTATE_READY := $(MUTATE_LIBRARIES)/.stamp-mutate
# The development environment contains everything that the demo needs.
SOME_READY := $(if $(wildcard $(DEV_READY)),$(DEV_READY),$(DEMO_READY))

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-fast test-xla test-jax test-torch test-oldest \
  fuzz fuzz-save mutate test-notebooks accelerator-check tpu-check bench bench-check \
  bench-startup bench-memory bench-puzzlemix laws soak kills test-nightly audit lock \
  experiments-check check format build site release-check clean

help: ## lists all commands
	@sed -n 's/^\([a-z -]*\):[^=].*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(SOME_READY) ## trains without mixing and with each method, and draws a picture
	@$(RUN) -m keras_msda train --floor $(DEMO_FLOOR) $(DEMO_ARGS)

# The largest number of cases per test, those that show most of its parameters' values;
# 10000 runs all of them.
TEST_CASES ?= 3
TESTS := -m "not xla and not processes and not notebook" --most-cases $(TEST_CASES)
test: $(DEV_READY) ## runs the tests, except for those that need compilers or processes
	@$(PYTEST) -n 2 --dist worksteal $(TESTS) $(TEST_ARGS)

# Apart, because counting lines takes a third of the time.
coverage: $(DEV_READY) ## runs the same tests and lists the lines that none of them runs
	@$(PYTEST) -n 2 --dist worksteal $(TESTS) --cov $(TEST_ARGS)

test-fast: $(DEV_READY) ## runs one case of each quick test
	@$(PYTEST) -n 2 --dist worksteal --most-cases 1 $(TEST_ARGS) \
	  -m "not xla and not processes and not notebook and not slow and not long"

XLA_CASES ?= 3
test-xla: $(DEV_READY) ## runs the tests that need XLA, two replicas or other processes
	@$(PYTEST) -n 2 --dist worksteal -m "xla or processes" --most-cases $(XLA_CASES) \
	  $(TEST_ARGS)

# The tests for Keras's other backends. A file that does not exist is an error.
BACKEND_TESTS := tests/layers tests/masks tests/test_sampling.py tests/test_draws.py \
  tests/test_handoff.py tests/test_pipeline.py tests/test_grain.py \
  tests/test_backend.py tests/test_workers.py tests/test_saliency_mixing.py
# Tests of the analysis that compute first and second derivatives with the backend.
DERIVATIVE_TESTS := tests/analysis/test_gradients.py \
  tests/analysis/test_theorem.py::test_terms_are_those_of_explicit_derivatives
# Fewer cases per test than on TensorFlow, and none of those that start processes:
# their pipelines are TensorFlow's on every backend.
BACKEND_CASES ?= 1
SHORT := not slow and (not long or every_backend)
test-jax test-torch: test-%: $(DEV_READY) ## runs the contract on JAX or PyTorch
	@KERAS_BACKEND=$* $(PYTEST) -n 2 --dist worksteal --most-cases $(BACKEND_CASES) \
	  -m "$(SHORT)" \
	  $(BACKEND_TESTS) $(DERIVATIVE_TESTS) \
	  $(if $(wildcard tests/test_$*.py),tests/test_$*.py) $(TEST_ARGS)

# The laws, the contract, hand-off, saving, losses and pipelines, a few cases of each;
# the newest releases run more cases, and XLA.
OLDEST_TESTS := tests/layers tests/test_handoff.py tests/test_saving.py \
  tests/test_pipeline.py tests/test_losses.py
test-oldest: $(OLDEST_READY) ## runs the contract with the oldest supported releases
	@OPENBLAS_NUM_THREADS=1 $(OLDEST_VENV)/bin/python -m pytest -n 2 --dist worksteal \
	  -m "not xla and not processes and not notebook and $(SHORT)" --most-cases 1 \
	  --timeout 300 $(OLDEST_TESTS) $(TEST_ARGS)

# KERAS_BACKEND=jax or torch fuzzes the layers on that backend. The seed is fixed, so
# that a failure is that of a change; FUZZ_ARGS="--seed 1" makes other calls.
FUZZ = OPENBLAS_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 $(RUN) -m tests.fuzz \
  --calls $(or $(N),2000) --workers 2 $(FUZZ_ARGS)
FUZZ_COUNTS = benchmarks/results/fuzz_$(or $(KERAS_BACKEND),tensorflow).json
fuzz: $(DEV_READY) ## compares N random calls with a reference in NumPy; N=100000
	@$(FUZZ)

fuzz-save: $(DEV_READY) ## does so and saves the counts, from which it goes on
	@$(FUZZ) --resume --out $(FUZZ_COUNTS)

# Ten mutants take a minute on two cores, after some minutes that find the tests of each
# line. Its own tests come first: some need what it alone installs.
MUTATE_ARGS ?=
MUTATE := PYTHONPATH=$(MUTATE_LIBRARIES) TF_CPP_MIN_LOG_LEVEL=3 OPENBLAS_NUM_THREADS=1
mutate: $(DEV_READY) $(MUTATE_READY) ## changes the library in N=400 places; tests must fail
	@$(MUTATE) $(RUN) -m pytest -q -k "not the_page" tests/mutate
	@$(MUTATE) $(RUN) -m tests.mutate --count $(or $(N),400) $(MUTATE_ARGS)
	@$(MUTATE) $(RUN) -m tests.mutate --page

# One at a time, because each notebook keeps both cores busy.
test-notebooks: $(DEV_READY) ## runs the notebooks at small size
	@$(RUN) -m pytest -m notebook tests/test_notebooks.py $(TEST_ARGS)

accelerator-check: $(DEV_READY) ## runs the contract on a GPU or TPU, if there is one
	@$(RUN) benchmarks/accelerator_check.py $(ACCELERATOR_ARGS) $(BACKEND_TESTS)

tpu-check: $(TPU_READY) ## compiles for TPUs, without one; TPU_ARGS=--quick does less
	@PYTHONPATH=. $(TPU_VENV)/bin/python benchmarks/tpu_check.py $(TPU_ARGS)

bench: $(BENCH_READY) ## times all methods and other libraries; BENCH_ARGS="--table large"
	@$(BENCH_VENV)/bin/python benchmarks/speed.py $(BENCH_ARGS)

# In the development environment: other libraries are left out.
bench-check: $(DEV_READY) ## fails if mixing costs 1.3 times what is committed
	@$(RUN) benchmarks/speed_check.py $(CHECK_ARGS)

bench-startup: $(BENCH_READY) ## times imports and first calls, and what compiling gains
	@$(BENCH_VENV)/bin/python benchmarks/startup.py $(STARTUP_ARGS)

bench-memory: $(BENCH_READY) ## measures the memory that a call needs besides its result
	@$(BENCH_VENV)/bin/python benchmarks/memory.py $(MEMORY_ARGS)

bench-puzzlemix: $(BENCH_READY) ## times a step of PuzzleMix against a plain step
	@$(BENCH_VENV)/bin/python benchmarks/puzzlemix.py $(PUZZLEMIX_ARGS)

soak: $(DEV_READY) ## trains for MINUTES=60 in two places; draws memory and step times
	@PYTHONPATH=. $(RUN) benchmarks/soak.py --minutes $(MINUTES) $(SOAK_ARGS)

kills: $(DEV_READY) ## kills and resumes trainings, and compares them bit for bit
	@PYTHONPATH=. $(RUN) benchmarks/kills.py $(KILLS_ARGS)

# May fail: a nightly release is not one that users have.
test-nightly: ## runs the contract with the nightly Keras
	$(PYTHON) -m venv --clear $(NIGHTLY_VENV)
	$(NIGHTLY_VENV)/bin/python -m pip install --quiet --editable '.[demo]' \
	  pytest==9.2.0 pytest-xdist==3.8.0 hypothesis==6.170.15
	$(NIGHTLY_VENV)/bin/python -m pip uninstall --quiet --yes keras
	$(NIGHTLY_VENV)/bin/python -m pip install --quiet --pre --no-deps keras-nightly
	@OPENBLAS_NUM_THREADS=1 $(NIGHTLY_VENV)/bin/python -m pytest -n 2 --most-cases 1 \
	  -m "not xla and not processes and not notebook and not slow" \
	  $(OLDEST_TESTS) $(TEST_ARGS)

# Without PyTorch: which of its builds one has, and so their hashes, depends on the index.
lock: ## writes the newest versions of what developers install, and their hashes
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet uv==0.13.9
	printf "torch; python_version < '3'\n" > $(LOCK_VENV)/without.txt
	$(LOCK_VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --custom-compile-command "make lock" \
	  --extra dev --overrides $(LOCK_VENV)/without.txt setup.cfg -o $(LOCK)

# Needs PyPI itself: a mirror without its list of vulnerabilities says "not found on PyPI".
audit: ## looks up known vulnerabilities of what developers install
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit==2.10.1
	$(VENV)-audit/bin/pip-audit --require-hashes --disable-pip -r $(LOCK)

laws: $(DEV_READY) ## tests all draws, 7 minutes of CPU time; LAWS_ARGS=--quick draws less
	@$(RUN) -m benchmarks.laws $(LAWS_ARGS)
	@$(RUN) -m benchmarks.laws --page

# A row of each kind; the tests read all configs and build all networks.
experiments-check: $(SOME_READY) ## does rows of an experiment and of a recipe, quickly
	@$(RUN) -m keras_msda experiment --check --workers 2 \
	  --row none --row fmix --row stochastic --row puzzlemix --row manifold \
	  benchmarks/experiments/fashion_1k.yaml
	@$(RUN) -m keras_msda experiment --check --row hmix \
	  benchmarks/experiments/recipes/cifar100_wrn28_2.yaml

check: $(DEV_READY) ## checks format, lint, types and import contracts
	@echo "format"; $(RUN) -m ruff format --check $(SOURCES) $(SCRIPTS)
	@echo "lint"; $(RUN) -m ruff check $(SOURCES) $(SCRIPTS)
	@echo "types"; $(RUN) -m mypy
	@echo "import contracts"; $(VENV)/bin/lint-imports --no-logo --no-cache

format: $(DEV_READY) ## formats, and fixes what ruff can fix
	@$(RUN) -m ruff check --fix $(SOURCES) $(SCRIPTS)
	@$(RUN) -m ruff format $(SOURCES) $(SCRIPTS)

build: $(DEV_READY) ## builds wheel and sdist in dist/, and checks the page for PyPI
	@rm -rf dist
	@$(RUN) -m build --no-isolation
	@$(RUN) -m twine check --strict dist/*

# Each time from scratch, so that every warning is said again; all of them are errors.
site: $(DEV_READY) ## builds the documentation, build/site/index.html, and checks its links
	@rm -rf build/site build/doctrees
	@PYTHONPATH=. TF_CPP_MIN_LOG_LEVEL=3 $(RUN) -m sphinx -b html -c docs/site \
	  -d build/doctrees --jobs auto --fail-on-warning --keep-going --quiet . build/site
	@$(RUN) docs/site/check.py build/site

# Ends with what to type; nothing is published here.
release-check: check build ## tries the wheel in empty environments, and says how to publish
	@bash .ci/wheel alone jax torch oldest
	@$(RUN) .ci/release.py

clean: ## removes everything that make created, including the environments
	rm -rf $(VENV) $(VENV)-audit $(LOCK_VENV) $(NIGHTLY_VENV) $(TPU_VENV) $(BENCH_VENV) \
	  $(OLDEST_VENV) $(MUTATE_LIBRARIES) build dist msda-demo *.egg-info \
	  docs/reference \
	  .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted installation is repeated.
$(VENV_READY):
	@test -n "$(PYTHON)" || { echo "make: no python3 found; name one: make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; name another: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(DEMO_READY): setup.cfg pyproject.toml $(VENV_READY)
	@echo "Installing TensorFlow, Keras and what the demo draws with into $(VENV):"
	@echo "about 2 GB, some minutes. Later calls start at once."
	$(RUN) -m pip install --quiet --editable '.[demo]'
	@touch $@

# Only files with the hashes of $(LOCK), whose dependencies are all in it; then PyTorch,
# which is not.
$(DEV_READY): setup.cfg pyproject.toml $(LOCK) $(VENV_READY)
	$(RUN) -m pip install --quiet --require-hashes --no-deps -r $(LOCK)
	$(RUN) -m pip install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@

$(TPU_READY): benchmarks/tpu-requirements.txt
	$(PYTHON) -m venv --clear $(TPU_VENV)
	$(TPU_VENV)/bin/python -m pip install --quiet -r benchmarks/tpu-requirements.txt
	@touch $@

$(BENCH_READY): setup.cfg pyproject.toml benchmarks/bench-requirements.txt
	$(PYTHON) -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet -r benchmarks/bench-requirements.txt \
	  --editable '.[demo]'
	@touch $@

$(OLDEST_READY): setup.cfg pyproject.toml tests/oldest-requirements.txt
	$(PYTHON) -m venv --clear $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet -r tests/oldest-requirements.txt \
	  --editable '.[demo]'
	@touch $@

# A folder beside the development environment: mutmut would add fifteen packages to it.
$(MUTATE_READY): tests/mutate/requirements.txt $(VENV_READY)
	$(RUN) -m pip install --quiet --no-deps --upgrade --target $(MUTATE_LIBRARIES) \
	  -r tests/mutate/requirements.txt
	@touch $@
