# `make demo` and `make test` do all their own set-up; see README.md.

DUMP  ?= tests/data/sample.jsonl
# One data folder a dump, so that trying another does not mix their papers.
DATA  ?= data/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1)
LISTEN ?= 127.0.0.1:8080
LIKEWISE = target/release/likewise

.PHONY: setup demo test test-milvus check soak bench bench-encode bench-architectures bench-search bench-dumps bench-serve bench-milvus bench-quality bench-recipe judged golden

# The release program, and the model, every file verified.
setup:
	cargo build --release --locked --bin likewise
	$(LIKEWISE) pull

# Ingests DUMP, serves it, and says what to try. Refused entries (status 2) do not stop it.
demo: setup
	$(LIKEWISE) ingest $(or $(wildcard $(DUMP)),$(DUMP)) --data $(DATA) || [ $$? -eq 2 ]
	@scripts/demo $(LIKEWISE) $(DATA) $(LISTEN)

# The suite runs optimised, and shares the program's dependencies: it uses the real model. Then the
# vectors once more with the instructions of lesser machines. Then files of vectors, in the programs people have. Then
# the server, asked by the clients people have, and held to every word of its OpenAPI document. Then its pages, in chromium.
test: setup
	cargo test --release --locked --quiet
	LIKEWISE_CPU=avx2 cargo test --release --locked --quiet golden
	LIKEWISE_CPU=portable cargo test --release --locked --quiet golden
	python3 -m venv .venv-vectors
	.venv-vectors/bin/pip install --quiet numpy pandas pyarrow duckdb
	.venv-vectors/bin/python -B scripts/read-vectors $(LIKEWISE) tests/data/sample.jsonl
	python3 -m venv .venv-clients
	.venv-clients/bin/pip install --quiet -r tests/clients/requirements.txt
	.venv-clients/bin/python -B tests/clients/clients.py
	.venv-clients/bin/python -B tests/clients/spec.py --max-examples 30
	python3 -m venv .venv-web
	.venv-web/bin/pip install --quiet -r tests/web/requirements.txt
	.venv-web/bin/python -B tests/web/browser.py --browser "$$(scripts/browser)"

# The contract of whatever holds papers, beside a Milvus server, and one that speaks the API of Milvus 3; what happens when
# an ingest is killed; and deploy/ by its schemas. The servers are installed from PyPI, and run alone in a namespace.
test-milvus: setup
	cargo test --release --locked --quiet --test tests --no-run
	scripts/with-milvus $(call BENCH,tests) holdings --test-threads 8
	scripts/with-milvus --lite $(call BENCH,tests) holdings --test-threads 8
	scripts/with-milvus python3 -B tests/milvus/kills.py
	tests/deploy/check

# For an evening: an ingest and a writer killed 200 times each; dumps with 20,000 spoiled bytes; readers, a writer, deletes and merges for 30 minutes.
soak: setup
	LIKEWISE_KILLS=200 cargo test --release --locked --test tests killed_anywhere -- --nocapture
	LIKEWISE_FUZZ=20000 cargo test --release --locked --test tests spoiled_dumps -- --nocapture
	LIKEWISE_KILLS=200 cargo test --release --locked --test tests nothing_acknowledged -- --nocapture
	LIKEWISE_SOAK=1800 cargo test --release --locked --test tests answers_stay_right -- --nocapture

# Formatting, lints, documentation, imports one way; warnings are errors.
check:
	cargo fmt --check
	cargo clippy --release --locked --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --document-private-items --quiet
	python3 tests/one_way.py

# A data folder beside a collection with the same papers.
bench-milvus: setup
	scripts/with-milvus python3 -B benches/milvus.py --data $(DATA)

# Judged sets of the dump that the benchmarks use: to tune on, and to report on.
judged:
	python3 -B benches/judged.py --dump $(firstword $(wildcard $(DUMP))) --to data/judged

# How good answers are on those sets, and what each part adds; DATA's questions are timed.
bench-quality: setup judged
	python3 -B benches/quality.py $(if $(wildcard $(DATA)/catalog.sqlite),--data $(DATA))

# What was tried for the ranking, and not all of it kept, by those sets.
bench-recipe: setup judged
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch transformers numpy
	.venv-peers/bin/python -B benches/recipe.py

# Recall and speed of the index over DATA, the encoder's rate over DUMP, and ingest's beside it.
bench: setup
	cargo bench --locked --bench encode -- --dump $(firstword $(wildcard $(DUMP)))
	cargo bench --locked --bench ingest -- --dump $(firstword $(wildcard $(DUMP)))
	cargo bench --locked --bench search -- --data $(DATA)

# The encoder beside its peers, which are installed first; writes benches/RESULTS.md.
bench-encode: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers onnx onnxruntime openvino nncf
	.venv-peers/bin/python -B benches/encode_peers.py --dump $(firstword $(wildcard $(DUMP))) --fidelity 5000 --results benches/RESULTS.md

# Every architecture beside sentence-transformers, on random checkpoints that are made first.
bench-architectures: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch sentence-transformers
	.venv-peers/bin/python -B benches/architectures.py --dump $(firstword $(wildcard $(DUMP))) --results benches/RESULTS.md

# The index beside its peers, over the vectors of DUMP, which are computed once; then over millions.
VECTORS = target/bench/$(shell printf '%s' '$(DUMP)' | cksum | cut -d' ' -f1).npy
SCALE ?= 1000000 2700000
# The newest of that name, once it is built.
BENCH = $$(ls -t target/release/deps/$(1)-* | grep -v '\.d$$' | head -1)
bench-search: setup $(VECTORS)
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet numpy hnswlib faiss-cpu usearch
	cargo build --release --locked --bench index --bench scale
	.venv-peers/bin/python -B benches/search_peers.py --vectors $(VECTORS) --program $(call BENCH,index) \
		--scale $(call BENCH,scale) $(SCALE) --results benches/RESULTS.md

# Every dump format, parsed: MB/s, and memory as the file grows.
bench-dumps: setup
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet pyarrow
	.venv-peers/bin/python -B benches/dumps.py --dump $(firstword $(wildcard $(DUMP))) --results benches/RESULTS.md

# The server under load, over the papers of DUMP; oha is built first.
OHA = target/oha/bin/oha
bench-serve: setup $(OHA)
	$(LIKEWISE) ingest $(firstword $(wildcard $(DUMP))) --data $(DATA) || [ $$? -eq 2 ]
	python3 -B benches/serve.py --oha $(OHA) --data $(DATA) --dump $(firstword $(wildcard $(DUMP))) --results benches/RESULTS.md

$(OHA):
	cargo install oha --version 1.16.0 --locked --no-default-features --features rustls --root target/oha

$(VECTORS): setup
	mkdir -p target/bench
	test -e $@ || $(LIKEWISE) embed $(firstword $(wildcard $(DUMP))) --out $@ || [ $$? -eq 2 ]

# Makes the golden vectors again, with the reference library.
golden: setup
	python3 -m venv .venv-golden
	.venv-golden/bin/pip install --quiet torch sentence-transformers
	.venv-golden/bin/python tests/golden/make.py models/all-MiniLM-L6-v2
	.venv-golden/bin/python tests/golden/make_small.py
	.venv-golden/bin/python tests/golden/make_architectures.py
	python3 -m venv .venv-adapters
	.venv-adapters/bin/pip install --quiet torch adapters
	.venv-adapters/bin/python tests/golden/make_adapters.py
