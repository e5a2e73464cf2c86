# `make demo` and `make test` do all their own set-up; see README.md.

DUMP  ?= tests/data/sample.jsonl
# One data folder a dump, so that trying another does not mix their papers.
DATA  ?= data/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1)
LISTEN ?= 127.0.0.1:8080
LIKEWISE = target/release/likewise
# `default` is what a laptop needs; `full` has agents' tools, Milvus and traces, too.
FEATURES ?= default
CARGO_FLAGS = --release --locked --features $(FEATURES)
# Tests that look at answers, pages included: once more on lesser levels, of which a machine without AVX-512 has only portable.
ANSWERS = golden library:: routes:: pages:: eval:: program:: embed::a_texts_vector
HAS_AVX512 = $(shell grep -m1 -o avx512f /proc/cpuinfo)
# Some of the integration tests, by the beginnings of their names.
TESTS = cargo test $(CARGO_FLAGS) --quiet --test tests -- $(1)
.PHONY: setup demo quick test test-clients test-web test-milvus test-all check soak bench bench-encode bench-architectures bench-search bench-dumps bench-serve bench-milvus bench-quality bench-recipe bench-tiny judged golden

# The release program, and the model, every file verified. FEATURES=full has everything that needs no GPU.
setup:
	cargo build $(CARGO_FLAGS) --bin likewise
	$(LIKEWISE) pull

# Ingests DUMP, serves it, and says what to try. Refused entries (status 2) do not stop it.
demo: setup
	$(LIKEWISE) ingest $(or $(wildcard $(DUMP)),$(DUMP)) --data $(DATA) || [ $$? -eq 2 ]
	@scripts/demo $(LIKEWISE) $(DATA) $(LISTEN)

# Integration tests that need the real model, or are slow: whole files, then single tests.
NOT_QUICK = golden architectures:: crash:: embed:: eval:: ingest:: library:: models:: reembed:: soak:: \
	a_score_of_words_and_meaning alive_before_ready answers_are_as_deep questions_that_are_rescored answers_are_those_of_a_model each_gets_its_status \
	embed_writes_a_row embeddings_in_openais filters_leave_what pages_say_what papers_come_change search_by_text_papers \
	what_is_served_is_told whatever_is_in_a_paper

# For the loop of edit and test: all unit tests, and the integration tests that a small random model, which is committed, is
# enough for. No network, no real model.
quick:
	cargo test --workspace --locked --lib --quiet
	LIKEWISE_TEST_MODEL=tests/golden/small-bert cargo test --workspace --locked --test tests --quiet -- $(addprefix --skip ,$(NOT_QUICK))

# Unit and integration tests with the real model, of all crates, and vectors and answers once more with the instructions of
# lesser machines. Nothing that needs another language's packages.
test: setup
	@tests/cpu-class
	cargo test --workspace $(CARGO_FLAGS) --quiet
	$(if $(HAS_AVX512),LIKEWISE_CPU=avx2 $(call TESTS,$(ANSWERS)))
	$(if $(HAS_AVX512),LIKEWISE_CPU=avx512-plain $(call TESTS,$(ANSWERS)))
	LIKEWISE_CPU=portable $(call TESTS,golden)

# Files of vectors, in the programs people have; then the server, asked by the clients people have, and held to every word
# of its OpenAPI document. Agents are among them.
test-clients: FEATURES = full
test-clients: setup
	python3 -m venv .venv-vectors
	.venv-vectors/bin/pip install --quiet numpy pandas pyarrow duckdb
	.venv-vectors/bin/python -B scripts/read-vectors $(LIKEWISE) tests/data/sample.jsonl
	python3 -m venv .venv-clients
	.venv-clients/bin/pip install --quiet -r tests/clients/requirements.txt
	.venv-clients/bin/python -B tests/clients/clients.py
	.venv-clients/bin/python -B tests/clients/spec.py --max-examples 30

# The pages, in chromium.
test-web: setup
	python3 -m venv .venv-web
	.venv-web/bin/pip install --quiet -r tests/web/requirements.txt
	.venv-web/bin/python -B tests/web/browser.py --browser "$$(scripts/browser)"

# The contract of whatever holds papers, beside a Milvus server, and one that speaks the API of Milvus 3; what happens when
# an ingest is killed; and deploy/ by its schemas. The servers are installed from PyPI, and run alone in a namespace.
test-milvus: FEATURES = full
test-milvus: setup
	cargo test --workspace $(CARGO_FLAGS) --quiet --no-run
	scripts/with-milvus $(call BENCH,tests) holdings --test-threads 8
	scripts/with-milvus --lite $(call BENCH,tests) holdings --test-threads 8
	scripts/with-milvus python3 -B tests/milvus/kills.py
	tests/deploy/check

# Everything, and every benchmark on a tiny input; each part says how long it took.
test-all: export FEATURES = full
test-all:
	@scripts/timed test test-clients test-web test-milvus bench-tiny

# For an evening: an ingest and a writer killed 200 times each; dumps with 20,000 spoiled bytes; readers, a writer, deletes and merges for 30 minutes.
soak: setup
	LIKEWISE_KILLS=200 cargo test $(CARGO_FLAGS) --test tests killed_anywhere -- --nocapture
	LIKEWISE_FUZZ=20000 cargo test $(CARGO_FLAGS) --test tests spoiled_dumps -- --nocapture
	LIKEWISE_KILLS=200 cargo test $(CARGO_FLAGS) --test tests nothing_acknowledged -- --nocapture
	LIKEWISE_SOAK=1800 cargo test $(CARGO_FLAGS) --test tests answers_stay_right -- --nocapture

# Formatting, lints, documentation, imports one way; warnings are errors.
check:
	cargo fmt --all --check
	cargo clippy --workspace --release --locked --features full --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --release --locked --features full --no-deps --document-private-items --quiet
	python3 tests/one_way.py

# The newest of that name, once it is built.
BENCH = $$(ls -t target/release/deps/$(1)-* | grep -v '\.d$$' | head -1)
# Every benchmark writes its own file there: benches/results.py says how.
RESULTS = benches/results
THE_DUMP = $(firstword $(wildcard $(DUMP)))

# Every benchmark on the smallest input, so that none rots. The figures mean nothing; they go into a temporary folder.
# Peers that need torch are passed over.
bench-tiny: setup
	cargo build $(CARGO_FLAGS) --bench encode --bench index --bench ingest --bench scale --bench search
	python3 -m venv .venv-bench
	.venv-bench/bin/pip install --quiet numpy faiss-cpu usearch pyarrow
	.venv-bench/bin/python -B benches/tiny.py
	scripts/with-milvus .venv-bench/bin/python -B benches/tiny.py milvus

# The encoder by precision and ingest beside the encoder alone, over DUMP; recall and speed of the index over DATA.
bench: setup
	cargo build $(CARGO_FLAGS) --bench encode --bench ingest --bench search
	python3 -B benches/rust.py precisions --program $(call BENCH,encode) --dump $(THE_DUMP) --results $(RESULTS)
	python3 -B benches/rust.py ingest --program $(call BENCH,ingest) --dump $(THE_DUMP) --results $(RESULTS)
	python3 -B benches/rust.py filters --program $(call BENCH,search) --data $(DATA) --results $(RESULTS)

# A data folder beside a collection with the same papers.
bench-milvus: setup
	scripts/with-milvus python3 -B benches/milvus.py --data $(DATA) --results $(RESULTS)

# Test collections of the dump that the benchmarks use: to tune on, and to report on.
judged:
	python3 -B benches/judged.py --dump $(THE_DUMP) --to data/judged

# How good answers are on those sets, and what each part adds; DATA's questions are timed.
bench-quality: setup judged
	python3 -B benches/quality.py $(if $(wildcard $(DATA)/catalog.sqlite),--data $(DATA)) --results $(RESULTS)

# What was tried for the ranking, by those sets.
bench-recipe: setup judged
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch transformers numpy
	.venv-peers/bin/python -B benches/recipe.py --results $(RESULTS)

# The encoder beside its peers, which are installed first.
bench-encode: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers onnx onnxruntime openvino nncf
	.venv-peers/bin/python -B benches/encode_peers.py --dump $(THE_DUMP) --fidelity 5000 --results $(RESULTS)

# Every architecture beside sentence-transformers, on random checkpoints that are made first.
bench-architectures: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers
	.venv-peers/bin/python -B benches/architectures.py --dump $(THE_DUMP) --results $(RESULTS)

# The index beside its peers, over the vectors of DUMP, which are computed once; then over millions.
VECTORS = target/bench/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1).npy
SCALE ?= 1000000 2700000
bench-search: setup $(VECTORS)
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet numpy hnswlib faiss-cpu usearch
	cargo build $(CARGO_FLAGS) --bench index --bench scale
	.venv-peers/bin/python -B benches/search_peers.py --vectors $(VECTORS) --index $(call BENCH,index) \
		--scale $(call BENCH,scale) $(SCALE) --results $(RESULTS)

# Every dump format, parsed: MB/s, and memory as the file grows.
bench-dumps: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet pyarrow
	.venv-peers/bin/python -B benches/dumps.py --dump $(THE_DUMP) --results $(RESULTS)

# The server under load, over the papers of DUMP; oha is built first.
OHA = target/oha/bin/oha
bench-serve: setup $(OHA)
	$(LIKEWISE) ingest $(THE_DUMP) --data $(DATA) || [ $$? -eq 2 ]
	python3 -B benches/serve.py --oha $(OHA) --data $(DATA) --dump $(THE_DUMP) --results $(RESULTS)

$(OHA):
	cargo install oha --version 1.16.0 --locked --no-default-features --features rustls --root target/oha

$(VECTORS): setup
	mkdir -p target/bench
	test -e $@ || $(LIKEWISE) embed $(THE_DUMP) --out $@ || [ $$? -eq 2 ]

# Makes the golden vectors again, with the reference library.
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
