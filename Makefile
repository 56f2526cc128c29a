# camlib: one command for each thing to own. `make` alone lists them.
# Needs python3 (3.11 or newer) and make; everything else goes into .venv.

PYTHON ?= python3
# Threads of each notebook or test process: one, so that JOBS=2 fills two cores and the bytes of figures do not depend
# on JOBS. More are fine for a single notebook: make 04_sca_cam THREADS=2
THREADS ?= 1
HF_HUB_OFFLINE ?= 1
# Notebooks that make figures runs, and networks that make train trains, at the same time, each with THREADS threads.
JOBS ?= 2

SHELL := /bin/sh
VENV := .venv/bin/python
STAMP := .venv/.installed
SOURCES := $(shell find camlib -name "*.py" -o -name "*.pyi" -o -name "*.csv" -o -name "*.toml") data/manifest.json $(wildcard data/trained/*)
# The course, what stands behind it, the solutions of its exercises; names are unique across the three.
COURSE := $(patsubst notebooks/%.ipynb,%,$(sort $(wildcard notebooks/[0-9][0-9]_*.ipynb)))
APPENDIX := $(patsubst notebooks/appendix/%.ipynb,%,$(sort $(wildcard notebooks/appendix/[0-9][0-9]*.ipynb)))
SOLUTIONS := $(patsubst notebooks/solutions/%.ipynb,%,$(sort $(wildcard notebooks/solutions/[0-9][0-9]*.ipynb)))
# The longest first, by number: one that is begun last would keep one core alone. Those that share passes (09 with 11;
# 10, 08, 06 and 07) are not begun together: the second reads what the first has computed.
LONG := 11 12 13 09 08 14 07 15 06 04 10
longest = $(foreach number,$(LONG),$(filter $(number)%,$1)) $(filter-out $(addsuffix %,$(LONG)),$1)
FOUND := $(call longest,$(APPENDIX)) $(call longest,$(COURSE)) $(SOLUTIONS)
digits = $(foreach ten,0 1 2 3 4 5 6 7 8 9,$(foreach one,0 1 2 3 4 5 6 7 8 9,$(ten)$(one)))
number = $(foreach two,$(digits),$(if $(filter $(two)%,$1),$(two)))
FILES := $(foreach name,$(FOUND),$(wildcard $(addsuffix /$(name).ipynb,notebooks notebooks/appendix notebooks/solutions)))
NAMES := $(basename $(notdir $(FILES)))
NUMBERS := $(sort $(foreach name,$(NAMES),$(call number,$(name))))

# make figures PROFILE=paper NETWORK=resnet18 SEED=1 FAST=true: only what is given reaches the notebooks. Such runs
# keep their notebooks, figures and gallery apart from those that are committed. METHODS="grad-cam sca-cam" and
# PHOTOS="goose /my/cat.jpg" reach the notebooks that have lists of them; the others do not run.
$(foreach name,profile network seed fast methods photos jobs threads,$(if $(findstring command,$(origin $(name))),\
    $(error $(name)=$($(name)): write the names of variables in capitals)))
$(if $(filter-out offline paper,$(PROFILE)),$(error PROFILE=$(PROFILE): expected offline or paper))
$(if $(filter-out true false True False,$(FAST)),$(error FAST=$(FAST): expected true or false))
$(if $(word 2,$(NETWORK)),$(error NETWORK=$(NETWORK): expected one name, see `python -m camlib networks`))
whole = $(if $1,$(if $(shell printf '%s' '$1' | grep -xE '[0-9]+'),,bad),$2)
$(if $(call whole,$(SEED)),$(error SEED=$(SEED): expected a whole number))
$(if $(call whole,$(filter-out 0,$(JOBS)),bad),$(error JOBS=$(JOBS): expected how many notebooks run at the same time))
$(if $(call whole,$(filter-out 0,$(THREADS)),bad),$(error THREADS=$(THREADS): expected a number of threads))
PARAMETERS := $(if $(PROFILE),-p profile $(PROFILE)) $(if $(NETWORK),-p network $(NETWORK)) \
              $(if $(SEED),-p seed $(SEED)) $(if $(FAST),-p fast $(FAST)) \
              $(if $(METHODS),-l methods "$(METHODS)") $(if $(PHOTOS),-l photos "$(PHOTOS)")
EMPTY :=
VARIANT := $(subst $(EMPTY) $(EMPTY),-,$(strip $(PROFILE) $(NETWORK) $(if $(SEED),seed$(SEED)) $(if $(FAST),fast$(FAST)) \
           $(if $(METHODS)$(PHOTOS),own-$(shell printf '%s' '$(METHODS);$(PHOTOS)' | cksum | cut -d ' ' -f 1))))
RUNS := build/notebooks$(addprefix -,$(VARIANT))
FIGURES := figures$(addprefix -,$(VARIANT))
# What the text says of the default network is checked there, and only said elsewhere.
LENIENT := $(if $(VARIANT),--lenient)

# make paper IMAGENET=DIR VOC=DIR: what camlib.compendium.paper reads; BOXES and SYNSETS belong to IMAGENET.
PAPER := $(if $(IMAGENET),--imagenet "$(IMAGENET)") $(if $(BOXES),--boxes "$(BOXES)") \
         $(if $(SYNSETS),--synsets "$(SYNSETS)") $(if $(VOC),--voc "$(VOC)") $(if $(LIMIT),--limit $(LIMIT)) \
         $(if $(filter true True,$(FAST)),--fast) $(if $(NETWORK),--network $(NETWORK)) $(if $(SEED),--seed $(SEED)) \
         --runs $(RUNS) --figures $(FIGURES)
# Its weights are downloaded at the start, and only there, unless the user said no.
DOWNLOADS_OFF := $(if $(filter file,$(origin HF_HUB_OFFLINE)),0,$(HF_HUB_OFFLINE))

# The state of a run without a head: matplotlib's backend left to the kernel, no progress bars, no network for weights.
HEADLESS := env -u MPLBACKEND PYTHONHASHSEED=0 TQDM_DISABLE=1 HF_HUB_OFFLINE=$(HF_HUB_OFFLINE) \
            OMP_NUM_THREADS=$(THREADS) CAMLIB_THREADS=$(THREADS)

# glibc, where it is there: keep freed buffers, in large pages, so that a pass does not ask the system for its memory
# anew (up to a quarter of the time). The numbers stay the same; make bench measures without it.
BUFFERS := GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=536870912:glibc.malloc.trim_threshold=1073741824

.DELETE_ON_ERROR:
.PHONY: writable help figures notebooks book shortcut test unit lint verify map errata evidence bench train lab env clean paper paper-run $(NAMES) $(NUMBERS)

help:
	@echo "make figures     environment, all notebooks (two at a time: JOBS=2), all figures and tables, the gallery"
	@echo "make test        environment, unit tests, and every notebook compared with what it printed before"
	@echo "make lab         JupyterLab on notebooks/00_start_here; its figures go to build/figures-lab"
	@echo "make 04_sca_cam  one notebook (any name in notebooks/, its appendix/ and solutions/; make 04: all of that number)"
	@echo "make notebooks   figures, then copies the fresh runs over notebooks/ to be committed"
	@echo "make book        the static site in build/book: notebooks as committed, gallery, ledger, docstrings; nothing runs"
	@echo "make unit        unit tests without the notebooks"
	@echo "make lint        ruff, check and format"
	@echo "make map         the floors of the package, read from its imports; MAP=--renew writes them into the README"
	@echo "make errata      measures what slips and open places of the sources change: data/errata.csv, figures/errata.md"
	@echo "make evidence    makes missing rows of data/evidence, in hours, JOBS=2; goes on after a kill (SAMPLES=DIR: photographs, too)"
	@echo "make shortcut    maps of 500 hearts on two networks: data/shortcut.parquet, for notebook 20"
	@echo "make bench       measures camlib against pytorch-grad-cam, torchcam and captum: data/bench.csv, for notebook 17"
	@echo "make paper IMAGENET=DIR VOC=DIR   the papers' own networks and data into figures-paper/; LIMIT=100: pictures a table"
	@echo "make train       trains every small network anew, two at a time (TRAIN='scenes-gap --seed 1': one; CIFAR10=DIR): data/trained/"
	@echo "make verify      compares every photograph and weight file with data/manifest.json"
	@echo "make env         the environment alone: .venv from requirements.lock (about 3 minutes, 6 GB)"
	@echo "make clean       removes build/, variants of figures/ and caches; .venv stays (rm -r .venv)"
	@echo "Parameters of the notebooks: make figures PROFILE=paper NETWORK=resnet18 SEED=1 FAST=true METHODS='grad-cam sca-cam' PHOTOS='goose my.jpg'"

# Notebooks that have to run again, by what they import and read (camlib/compendium/stale.py), and how they run; those
# that run with one command import what they need once. make -B runs all.
FORCED = $(findstring B,$(firstword -$(MAKEFLAGS)))
STALE = $(HEADLESS) $(VENV) -m camlib.compendium.stale $(if $(FORCED),--all) $(RUNS)
RUN = $(HEADLESS) $(BUFFERS) CAMLIB_FIGURES=$(FIGURES) $(VENV) -m camlib.compendium.notebook_runner run \
      --output $(RUNS) --jobs $(JOBS) $(PARAMETERS) $(LENIENT)
run_stale = stale="$$($(STALE) $1)" || exit 1; [ -z "$$stale" ] || $(RUN) $$stale

GALLERY = $(HEADLESS) CAMLIB_FIGURES=$(FIGURES) $(VENV) -m camlib.compendium.report gallery

# Notebooks that make passes over: a name with a space would be two names.
SPACED = $(shell find notebooks -name "[0-9]* *.ipynb" -not -path "*/.*" | sed 's/.*/"&"/')

# A notebook that fails keeps no other and no gallery from being made; the status says so at the end.
figures: $(STAMP)
	@$(if $(NETWORK),$(SAY_OFFLINE))
	@$(if $(SPACED),echo 'left out because of the space in its name: $(SPACED)')
	@$(call run_stale,$(FILES)) || { $(GALLERY); exit 1; }
	@$(MAKE) --silent --no-print-directory $(RUNS)/.gallery
	@echo "figures and tables: $(FIGURES)/README.md, notebooks as they ran: $(RUNS)/"

SAY_OFFLINE = echo "HF_HUB_OFFLINE=$(HF_HUB_OFFLINE): weights $(if $(filter 0,$(HF_HUB_OFFLINE)),may be downloaded,\
are not downloaded; HF_HUB_OFFLINE=0 allows it)"

$(RUNS)/.gallery: $(wildcard $(RUNS)/*.ipynb) $(SOURCES) $(wildcard data/*.csv data/evidence/*.parquet) $(STAMP)
	@mkdir -p $(@D)
	@$(GALLERY)
	@touch $@

$(NAMES): $(STAMP)
	@$(call run_stale,$(filter %/$@.ipynb,$(FILES)))

# make 08: everything with that number.
$(foreach name,$(NAMES),$(eval $(call number,$(name)): $(name)))

notebooks: figures
	@$(VENV) -m camlib.compendium.notebook_runner publish $(RUNS)

# Nothing is executed and nothing is fetched; the site carries its own copy of MathJax. Its links are checked.
book: $(STAMP)
	$(HEADLESS) $(VENV) -m camlib.compendium.book build

# What is missing leaves out what needs it: notebooks go on, and the list at the end decides about the status.
paper: $(STAMP)
	@$(MAKE) --no-print-directory PROFILE=paper paper-run

paper-run:
	@env HF_HUB_OFFLINE=$(DOWNLOADS_OFF) OMP_NUM_THREADS=$(THREADS) CAMLIB_THREADS=$(THREADS) \
	    $(VENV) -m camlib.compendium.paper prepare $(PAPER)
	@export CAMLIB_OFFLINE=1; $(call run_stale,$(FILES)) || true
	@CAMLIB_OFFLINE=1 $(HEADLESS) $(VENV) -m camlib.compendium.paper finish $(PAPER)

# Figures of compared notebooks go to build/, so that a test never changes figures/. What takes longest comes first.
test: $(STAMP)
	@rm -rf build/figures-nbval
	$(HEADLESS) $(BUFFERS) CAMLIB_FIGURES=build/figures-nbval $(VENV) -m pytest -n 2 --dist loadfile \
	    --no-loadscope-reorder --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-kernel-startup-timeout=300 \
	    $(FILES) tests

unit: $(STAMP)
	$(HEADLESS) CAMLIB_FIGURES=build/figures-nbval $(VENV) -m pytest tests

lint: $(STAMP)
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .

verify: $(STAMP)
	@$(VENV) -m camlib.data verify

map: $(STAMP)
	@$(VENV) -m camlib.compendium.floors $(MAP)

# About three minutes; the same seed and thread count give the same numbers on the same kind of machine.
errata: $(STAMP)
	$(HEADLESS) $(VENV) -m camlib.compendium.errata measure

# Hours on two cores; every chunk is kept in build/evidence, so it can be stopped at any time and goes on where it was.
evidence: $(STAMP)
	@for i in $$(seq 0 $$(($(JOBS) - 1))); do $(HEADLESS) $(BUFFERS) $(VENV) -m camlib.evaluate.evidence make --share $$i/$(JOBS) \
	    $(if $(SAMPLES),--samples "$(SAMPLES)") & done; wait
	@$(HEADLESS) $(VENV) -m camlib.evaluate.evidence collect $(if $(SAMPLES),--samples "$(SAMPLES)")

# About four minutes: which maps see the planted shortcut, for notebook 20_shortcut.
shortcut: $(STAMP)
	$(HEADLESS) $(VENV) -m camlib.evaluate.shortcut

# Two threads are the reference machine; nothing else should run beside it.
bench: $(STAMP)
	$(HEADLESS) OMP_NUM_THREADS=2 CAMLIB_THREADS=2 $(VENV) -m camlib.compendium.bench $(BENCH)

# The same seed and thread count give the same bytes on the same kind of machine.
train: $(STAMP)
	$(HEADLESS) $(BUFFERS) $(VENV) -m camlib.training --jobs $(JOBS) $(if $(CIFAR10),--data "$(CIFAR10)") $(TRAIN)

# What is run by hand writes its figures to build/, never over the committed ones. Root is asked for in containers only.
lab: $(STAMP)
	CAMLIB_FIGURES=build/figures-lab $(VENV) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb

env: $(STAMP)

# Packages are compiled by all cores, where pip takes one; some hold files that no Python 3 compiles.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
    echo "camlib needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 ..."; exit 1; }
@echo "Installing the locked packages into .venv: about 3 minutes and 6 GB (torch brings its CUDA libraries)"
$(PYTHON) -m venv .venv
$(VENV) -m pip install -q --disable-pip-version-check --no-compile -r requirements.lock
@$(VENV) -m compileall -qq -j 0 .venv/lib || true
$(VENV) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
@touch $@
endef

$(STAMP): requirements.lock pyproject.toml | writable
	$(if $(and $(FORCED),$(wildcard $(STAMP))),@echo "make -B: the environment stays; rm -r .venv makes it anew",$(install))

writable:
	@mkdir -p build 2>/dev/null && [ -w build ] && [ -w . ] || { \
	    echo "This folder cannot be written, and make keeps .venv/, build/ and figures/ in it: copy it to a place of" \
	         "your own, such as cp -r . ~/camlib, and run make there."; exit 1; }

clean:
	rm -rf build figures-* .pytest_cache .ruff_cache .hypothesis *.egg-info
	find camlib tests -name __pycache__ -prune -exec rm -rf {} +
