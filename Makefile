# Each target sets up .venv by itself. `make demo` and `make test` are the two to know.
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
C_FILES := $(wildcard src/keymiss/server/module/*.[ch])
ENGINE := src/keymiss/reader/engine
ENGINE_FILES := $(wildcard $(ENGINE)/*.[ch])
SEARCH := src/keymiss/search/native
SEARCH_FILES := $(wildcard $(SEARCH)/*.[ch])

.PHONY: demo demo-cluster serve test lint bench clean

demo: $(READY)
	$(VENV)/bin/keymiss demo

demo-cluster: $(READY)
	$(VENV)/bin/keymiss demo --cluster

serve: $(READY)
	exec $(VENV)/bin/keymiss serve --demo

# Two at a time: tests wait for servers and clocks most of the time. A file's tests stay together, in the
# order of the folders.
PYTEST := $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test: $(READY) debian-packages
	$(PYTEST)

# A client that the tests speak with, and a Prometheus that watches. In a container of its own they are
# installed; elsewhere their tests are skipped.
.PHONY: debian-packages
debian-packages:
	@{ command -v redis-cli && command -v prometheus; } >/dev/null || test "$$(id -u)" != 0 \
	  || ! command -v apt-get >/dev/null || { apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends redis-tools prometheus >/dev/null; } || true

# The module's tests with AddressSanitizer and UBSan in the server, and what searches in C; STORM=600
# makes the module's storm long.
SANITIZED := build/sanitized/keymiss.so
.PHONY: test-asan
test-asan: $(READY) $(SANITIZED) build/sanitized/ranking_storm build/sanitized/vector_storm
	build/sanitized/ranking_storm 1000
	build/sanitized/vector_storm 20
	SANITIZED_MODULE=$(abspath $(SANITIZED)) $(PYTEST) tests/module

build/sanitized/%_storm: tests/search/%_storm.c $(SEARCH_FILES)
	mkdir -p $(@D)
	$(CC) -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	  -Wall -Wextra -Werror -Wshadow $(filter %.c,$^) -o $@ -lm

$(SANITIZED): $(C_FILES)
	mkdir -p $(@D)
	$(CC) -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	  -fno-omit-frame-pointer -Wall -Wextra -Werror -Wshadow -fPIC -shared -fvisibility=hidden \
	  $(filter %.c,$^) -o $@
	$(CC) -Wall -Wextra -Werror -fPIC -shared tests/module/without_deepbind.c \
	  -o $(@D)/without_deepbind.so

# The engine's threads under a thread sanitizer, and all of it, with damaged packed models, under
# AddressSanitizer and UBSan; STORM_SECONDS=600 makes each storm long.
STORM_SECONDS ?= 10
.PHONY: test-engine-sanitized test-engine-aarch64
test-engine-sanitized: build/engine-thread/engine_storm build/engine-address/engine_storm
	build/engine-thread/engine_storm threads $(STORM_SECONDS)
	build/engine-address/engine_storm products $(STORM_SECONDS)
	build/engine-address/engine_storm threads $(STORM_SECONDS)
	build/engine-address/engine_storm loader $(STORM_SECONDS)

# The engine for ARM's 64 bits, by another compiler, where qemu (Debian's qemu-user) runs it.
test-engine-aarch64: build/engine-aarch64/engine_storm
	qemu-aarch64 -cpu max $< products $(STORM_SECONDS)
	qemu-aarch64 -cpu max $< threads $(STORM_SECONDS)

build/engine-thread/engine_storm: SANITIZE := -fsanitize=thread -g
build/engine-address/engine_storm: SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -g
build/engine-%/engine_storm: tests/reader/engine/storm.c $(ENGINE_FILES)
	cmake -S . -B $(@D) -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS="$(SANITIZE)" >/dev/null
	cmake --build $(@D) --target engine_storm >/dev/null

build/engine-aarch64/engine_storm: tests/reader/engine/storm.c $(ENGINE_FILES) $(READY)
	$(PYTHON) -m pip install -q ziglang==0.17.1
	CC="$(abspath $(PYTHON)) -m ziglang cc -target aarch64-linux-musl" cmake -S . -B $(@D) -DCMAKE_BUILD_TYPE=Release \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 >/dev/null
	cmake --build $(@D) --target engine_storm >/dev/null

lint: $(READY)
	$(VENV)/bin/ruff check src tests deploy
	$(VENV)/bin/ruff format --check src tests deploy
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run --Werror --style=file:src/keymiss/server/module/.clang-format \
	  $(C_FILES) $(ENGINE_FILES) $(SEARCH_FILES) $(wildcard tests/module/*.c tests/search/*.c tests/reader/engine/*.c)

bench: $(READY)
	$(PYTHON) -m keymiss.bench.miss_cost

# Questions on one shard and on more; the second script needs the sample articles.
SAMPLE ?= $(wildcard ../shared/data/cord19-sample)
.PHONY: bench-cluster
bench-cluster: $(READY)
	$(PYTHON) -m keymiss.bench.cluster_cost
	$(if $(SAMPLE),$(PYTHON) -m keymiss.bench.cluster_answers $(SAMPLE))

# What follows from other weights of the bundled reader: calibration, the cut below which nothing is
# an answer, the figures and the answers in the docs. Two to ten minutes.
OPEN ?= $(wildcard ../shared/data/open)
.PHONY: refit
refit: $(READY)
	$(if $(SQUAD),,$(error name a file in the format of SQuAD: make refit SQUAD=...))
	$(PYTHON) -m keymiss.bench.refit $(SQUAD) --write $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(OPEN),--open $(OPEN))
	$(PYTHON) -m keymiss.bench.refit_choosing $(SQUAD) --write $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(OPEN),--open $(OPEN))
	$(PYTHON) -m keymiss.bench.refit_choosing $(SQUAD) --words --write $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(OPEN),--open $(OPEN))
	UPDATE_DOCS=1 $(PYTHON) -m pytest tests/project/test_docs.py -k "transcript or first_hour"

# How fast concepts are matched, and what the graph finds; the sample articles make it two collections.
.PHONY: bench-graph
bench-graph: $(READY)
	$(PYTHON) -m keymiss.bench.graph_cost $(SAMPLE)

.PHONY: bench-module
bench-module: $(READY)
	$(PYTHON) -m keymiss.bench.module_cost

# What transformers and torch, which are large, say of the small models that the tests compare with,
# and of the bundled one's answers to the questions in a file of SQuAD's format.
SQUAD ?= $(wildcard ../shared/eval/xquad_en.json)
.PHONY: test-reference
test-reference: $(READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev,reference]'
	$(PYTHON) tests/reader/make_golden.py --check
	$(PYTHON) -m pytest tests/reader/test_families.py
	$(if $(SQUAD),$(PYTHON) tests/reader/check_scores.py $(SQUAD))

# The reader against torch and ONNX Runtime, half an hour; MODEL=minilm-qa for the small one alone.
.PHONY: bench-reader
bench-reader: $(READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev,reference]'
	$(PYTHON) -m keymiss.bench.reader_speed $(if $(MODEL),--model $(MODEL))

# The article's measurements, both ways: the small reader, and BERT-large's architecture.
.PHONY: bench-article
bench-article: $(READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev,reference]'
	large=$$($(PYTHON) -m keymiss.bench.bert_large --int8) && \
	  $(VENV)/bin/keymiss bench article --model minilm-qa --model "$$large@int8"

# FOLDER=... for documents of yours, SENTENCES=1000000 for generated ones.
.PHONY: bench-corpus
bench-corpus: $(READY)
	$(PYTHON) -m keymiss.bench.corpus_cost $(FOLDER) $(if $(SENTENCES),--sentences $(SENTENCES))

clean:
	rm -rf $(VENV) build dist bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# Editable: Python changes need no reinstall, changes of the C files rebuild the module.
$(READY): pyproject.toml CMakeLists.txt $(ENGINE)/CMakeLists.txt $(C_FILES) $(ENGINE_FILES) $(SEARCH)/CMakeLists.txt $(SEARCH_FILES)
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
