# make demo, make quick, make test, make long, make check, make bench: each installs what it needs, once
PYTHON ?= python3
BIN := .venv/bin
TOOLS := .venv/tools/bin
LOCK = $(TOOLS)/uv pip compile setup.cfg --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url \
	--custom-compile-command "make locks" --quiet
TOOL_PINS := uv==0.13.9 pip-audit==2.10.1 cyclonedx-bom==7.5.0
CONF ?= conf/local.yaml
export PYTHONPATH := lib

WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo quick test long faults order check format bench docs jars locks audit sbom clean requirements

demo: .venv/ready
	@$(BIN)/churnwatch demo --config $(CONF)

# transforms, settings and texts: no processes, no real data, no drawn cases, no warehouse with every job run, no dear files
quick: .venv/ready
	$(PYTEST) -m "not (long or processes or realdata or properties or chain or dear)"

# everything but what starts servers or takes minutes; faults are drawn by the seed that is printed (repeat one: make test SEED=7)
test: .venv/ready
	$(PYTEST) -m "not long" $(if $(SEED),--seed $(SEED))

# what test leaves out; it draws too
long: .venv/ready
	$(PYTEST) -m long $(if $(SEED),--seed $(SEED))

# as long, with every fault
faults: .venv/ready
	$(PYTEST) -m long --whole

# measure each test file again, for the order in which they start
order: .venv/ready
	$(PYTEST) --order=tests/order.json

check: .venv/ready
	$(BIN)/ruff format --check lib tests jobs
	$(BIN)/ruff check lib tests jobs
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

format: .venv/ready
	$(BIN)/ruff format lib tests jobs
	$(BIN)/ruff check --fix lib tests jobs

bench: .venv/ready
	$(BIN)/python tests/bench/run.py

docs: .venv/ready
	$(BIN)/churnwatch docs
	$(BIN)/python tests/reliability.py

jars: .venv/ready

# what is installed, with hashes: cluster.txt the package alone, local.txt a laptop, test.txt with what tests need;
# pip install --require-hashes -r requirements/local.txt
locks: .venv/tools/ready
	$(LOCK) --output-file requirements/cluster.txt
	$(LOCK) --extra local --output-file requirements/local.txt
	$(LOCK) --extra local --extra test --output-file requirements/test.txt

# licences and known vulnerabilities; the latter are skipped, loudly, without a network
audit: .venv/ready .venv/tools/ready
	$(BIN)/python requirements/check.py $(TOOLS)/pip-audit

# the bill of materials of the package, as CycloneDX
sbom: .venv/tools/ready
	mkdir -p dist
	$(TOOLS)/cyclonedx-py requirements requirements/cluster.txt --output-reproducible --of JSON -o dist/sbom.json

.venv/tools/ready: Makefile
	$(PYTHON) -m venv .venv/tools
	$(TOOLS)/python -m pip install --quiet --disable-pip-version-check $(TOOL_PINS)
	touch $@

requirements:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "install Python 3.11 or newer (or name it: make PYTHON=python3.11)"; exit 1; }
	@java -version 2>&1 | grep -Eq '"(1[7-9]|[2-9][0-9])' || { echo "install Java 17 or newer, and put it on the PATH"; exit 1; }

# the pins of setup.cfg decide whether anything must be installed
.venv/ready: setup.cfg pyproject.toml lib/churnwatch/io/jars.py | requirements
	@echo 'installing into .venv, once: a few minutes'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,test]'
	$(BIN)/python -m churnwatch.io.jars .jars
	touch $@

clean:
	rm -rf warehouse raw truth .pytest_cache .ruff_cache .mypy_cache
