# Two commands: `make lab` to read the course, `make test` to check that everything in it holds.
# Each makes its own .venv on the first call (a few minutes), the first one a smaller; `make help` lists the rest.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
LAB := $(VENV)/.lab
# Where Linux gets a PyTorch without several GB of CUDA libraries, if it has no NVIDIA GPU.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
# The first of these that really runs and is new enough (a name on the PATH may be a shim that does not run).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
ROOTFLAG := $(if $(filter 0,$(shell id -u)),--allow-root)
LABFLAGS ?=
JOBS ?= 2
NOTEBOOKS = $(sort $(wildcard notebooks/*.ipynb))
NBVAL := --nbval-lax --nbval-cell-timeout=600
# A file stays with one worker, and lessons, which take longest, are named before tests.
LONGEST_FIRST := --dist loadfile --no-loadscope-reorder
NUMERICAL := $(addprefix tests/,solvers nets flows latent datasets)
# The libraries' kernels for a processor of 2008: no AVX, no fused multiply-add, so every sum rounds otherwise.
OLD_CPU := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem

# One thread per process: small tensors gain nothing from more, and two test workers would fight over the cores.
run test coverage test-cpus test-student test-browser site slides bench: export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install lab test coverage test-cpus test-student test-browser run site slides bench lint format student instructor assignment image clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv with the pinned set (every target below does this first)

define install
	@test -n "$(PYTHON)" || { echo "odelab needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@echo "Making $(VENV) with the pinned set [$(1)]: once, some minutes"
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module here; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then $(PY) -m pip install --quiet --retries 0 \
		--timeout 10 $$(grep '^torch==' constraints.txt) --index-url $(TORCH_CPU) 2>/dev/null || true; fi
	@$(PY) -m pip install --disable-pip-version-check --quiet --progress-bar=off -e '.[$(1)]' -c constraints.txt
	@# A newcomer should meet lesson 00 first, not a question about Jupyter news. Affects this .venv only.
	@$(VENV)/bin/jupyter labextension disable --level=sys_prefix '@jupyterlab/apputils-extension:announcements' >/dev/null 2>&1
endef

$(LAB): pyproject.toml constraints.txt
	$(call install,lab)
	@touch $@

$(STAMP): pyproject.toml constraints.txt
	$(call install,dev)
	@touch $(LAB) $@

lab: $(LAB)  ## open the course in JupyterLab, a copy of your own in work/ (EDIT=1: the lessons themselves; LABFLAGS=…)
	$(if $(EDIT),,$(PY) -m odelab copy work)
	$(VENV)/bin/jupyter lab $(ROOTFLAG) --LabApp.default_url=/lab/tree/$(if $(EDIT),notebooks,work)/00_start_here.ipynb $(LABFLAGS)

test: $(STAMP) lint student  ## everything that must hold, except what needs a browser
	$(VENV)/bin/pytest notebooks build/student tests $(NBVAL) -n $(JOBS) $(LONGEST_FIRST) --cov=odelab --cov-report=
	@echo "Lessons and tests ran at least $$($(VENV)/bin/coverage report --format=total) % of odelab's lines"

coverage: export ODELAB_COVERAGE := all
coverage: test  ## make test, and the lines that nothing ran; fails when they are more than 10 %
	$(VENV)/bin/coverage report --show-missing --skip-covered --fail-under=90

test-cpus: $(STAMP)  ## notebooks and numerical tests as other processors round: old kernels, then two threads
	$(OLD_CPU) $(VENV)/bin/pytest notebooks $(NUMERICAL) $(NBVAL) -n $(JOBS) $(LONGEST_FIRST)
	@rm -rf build/two_threads && mkdir -p build/two_threads
	@for n in $(NOTEBOOKS); do sed 's/set_num_threads(1)/set_num_threads(2)/' $$n > build/two_threads/$${n##*/}; done
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(VENV)/bin/pytest build/two_threads/*.ipynb $(NBVAL)

test-browser: $(STAMP)  ## the lessons in JupyterLab in a real Chromium (ALL=1: every cell of every lesson)
	ALL=$(ALL) $(VENV)/bin/pytest tests/browser

run: $(STAMP)  ## execute every notebook without a browser; HTML under build/html
	$(VENV)/bin/jupyter nbconvert --to html --execute --ExecutePreprocessor.store_widget_state=False --output-dir build/html $(NOTEBOOKS)

site: $(STAMP)  ## the course as web pages with sliders that live without Python, under build/site/html
	$(PY) -m docs.site

slides: $(STAMP)  ## a deck a lesson, one file each with everything in it, under build/slides
	$(PY) -m docs.slides

bench: $(STAMP)  ## time solvers and widgets, side by side with other libraries; into build/benchmarks
	$(PY) -m benchmarks.run

lint: $(STAMP)  ## ruff and mypy, and whether every link in README, lessons and docs leads somewhere
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(PY) -m tests.links

format: $(STAMP)  ## let ruff mend what it can
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

student: $(STAMP)  ## copies of the lessons without solutions, teaching notes and outputs, under build/student
	$(PY) -m odelab.lessons.kit.student build/student $(NOTEBOOKS)

instructor: $(STAMP)  ## copies with solutions, answers and teaching notes in sight, under build/instructor
	$(PY) -m odelab copy build/instructor --kind instructor

assignment: $(STAMP)  ## an nbgrader course whose exercises are graded cells, under build/assignment
	$(PY) -m odelab copy build/assignment --kind assignment

test-student: $(STAMP)  ## run every copy with the solutions pasted in; make test runs them untouched
	$(PY) -m tests.notebooks.paste build/solved $(NOTEBOOKS)
	$(VENV)/bin/pytest build/solved $(NBVAL) -n $(JOBS) $(LONGEST_FIRST)

image:  ## the course in a container, see Dockerfile
	docker build --tag odelab .

clean:  ## remove .venv, build/ and caches
	rm -rf $(VENV) build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
