# labkit: each target first sets up what it needs in .venv, from a bare machine with Python 3.11
# or newer and its venv module; once that is done, it starts at once.
#
#     make                                    compare all mechanisms (the main job)
#     make compare ARGS="-m pipe -s 64"       the same, with options for the command
#     make lab | slides | site | test | lint | bench | faults | clean | help
#     make compare PYTHON=/path/to/python3    with a Python of your choice; .venv is then made anew

.DEFAULT_GOAL := compare
.ONESHELL:
SHELL := /bin/sh
.SHELLFLAGS := -eu -c

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
UV    ?= uv
ARGS  ?=

# The first of these that runs, is new enough and can make a virtual environment is used. 3.14
# comes last: posix_ipc is not offered ready-built for it yet, so a compiler would be needed.
PYTHON ?= python3.13 python3.12 python3.11 python3 python3.14

.PHONY: compare lab slides site test lint bench faults lock clean help

compare: $(STAMP)  ## measure all mechanisms; print the table, save the run and its figures
	@$(BIN)/labkit compare $(ARGS)

lab: $(STAMP)  ## open JupyterLab on the first notebook
	@$(BIN)/labkit lab $(ARGS)

slides: $(STAMP)  ## make a deck of each notebook, in slides/; none needs a network
	@$(BIN)/labkit slides $(ARGS)

site: $(STAMP)  ## make pages of the notebooks with their results, in site/
	@$(BIN)/labkit site $(ARGS)

test: $(STAMP)  ## run the tests, the slow ones too
	@$(BIN)/python -m pytest -q $(ARGS)

lint: $(STAMP)  ## check style and types
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(STAMP)  ## kill, stop, break and crowd it, for half an hour, and count what goes wrong
	@$(BIN)/python benchmarks/faults.py $(ARGS)

bench: $(STAMP)  ## measure labkit itself against bare loops and perf
	@$(BIN)/python benchmarks/ratios.py $(ARGS)

lock:  ## pin the dependencies of pyproject.toml anew (maintainers; needs uv)
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
	    --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
	    --output-file requirements.lock pyproject.toml

clean:  ## remove .venv and caches; runs in data/ stay
	@rm -rf $(VENV) build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

# The stamp holds the folder it was made in and is written last: a set-up that was interrupted,
# moved elsewhere or lost its Python is made anew, and so is one that is older than the lock.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

# A Python that is named is honoured, also where another one has set it up before.
CHOICE := $(VENV)/.python
ifeq ($(origin PYTHON),command line)
ifneq ($(shell cat $(CHOICE) 2>/dev/null),$(PYTHON))
.PHONY: $(STAMP)
endif
endif

# What is said goes to standard error, so that make compare ARGS="--format csv" can be piped.
$(STAMP): requirements.lock pyproject.toml
	@exec >&2
	stop() { echo "labkit: $$1"; exit 1; }
	old=
	bare=
	chosen=
	for python in $(PYTHON); do
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
	    if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	        old=$$version
	    elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	        bare=$$version
	    else
	        chosen=$$python
	        break
	    fi
	done
	if [ -z "$$chosen" ] && [ -n "$$bare" ]; then
	    stop "Python $$bare is here, but its venv module is not; install that (Debian, Ubuntu: sudo apt install python3-venv) and run make again."
	elif [ -z "$$chosen" ]; then
	    stop "Python 3.11 or newer is needed and was not found$${old:+ (only $$old)}; install it (Debian, Ubuntu: sudo apt install python3 python3-venv) or name one with make PYTHON=/path/to/python3."
	fi
	case $$version in 3.11|3.12|3.13) ;; *)  # posix_ipc is built for these, as said above
	    if ! command -v cc >/dev/null || ! "$$chosen" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then
	        stop "with Python $$version a package has to be built, which takes a C compiler and Python's headers; install both (Debian, Ubuntu: sudo apt install gcc python3-dev) and run make again, or name Python 3.11, 3.12 or 3.13 with make PYTHON=/path/to/python3."
	    fi ;;
	esac
	echo "labkit: setting up $(VENV) with Python $$version; this is done once and can take some minutes"
	rm -rf $(VENV)
	"$$chosen" -m venv $(VENV) || stop "Python $$version could not make a virtual environment (the reason stands above)."
	pip="$(BIN)/python -m pip --disable-pip-version-check install --quiet"
	echo "labkit: fetching and installing the packages of requirements.lock"
	$$pip --require-hashes -r requirements.lock || stop "the packages could not be installed (the reason stands above; often there is no network); run make again once that is solved."
	$$pip --no-deps --no-build-isolation --editable . || stop "labkit itself could not be installed (the reason stands above)."
	printf '%s' '$(PYTHON)' > $(CHOICE)
	printf '%s' '$(CURDIR)' > $(STAMP)
	echo "labkit: ready"
