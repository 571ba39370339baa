# Every target prepares what it needs on a bare machine and asks nothing: scripts/setup is quick when nothing changed.
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test test-compiled wheels check bench clean

help:
	@echo "make run     start the example garden: dashboard, agents, workflows"
	@echo "make test    run the test suite"
	@echo "make check   format, lint, strict types"
	@echo "make bench   run the benchmarks, write docs/performance.md"
	@echo "make wheels  build the pure wheel and the one with a compiled kernel into dist/"
	@echo "make test-compiled   run the kernel's tests against the compiled wheel"

setup:
	@scripts/setup

run: setup
	$(BIN)/planaria up --garden examples/garden

test: setup
	@scripts/setup-browser || echo "make test: going on without a browser; its tests will say so" >&2
	@scripts/setup-sandbox || echo "make test: going on without bubblewrap; its tests will say so" >&2
	$(BIN)/pytest -n 2

wheels: setup
	@scripts/setup-compiler
	@scripts/build_wheels

test-compiled: setup
	@scripts/setup-compiler
	@scripts/build_wheels platform
	@scripts/test_compiled

check: setup
	@scripts/check

bench: setup
	@scripts/setup-peers || echo "make bench: going on without the other libraries" >&2
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
