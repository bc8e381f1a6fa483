# Everything is built from nothing: each target makes the environment that it needs. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-all lint types results clean help

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(STAMP)   ## the whole story: environment, packages, weights, and a report to open
	$(BIN)/kinoscope demo --out demo

test: $(STAMP)   ## the tests, without the slow ones; a thread for each of two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: $(STAMP) ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)   ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## types
	$(BIN)/mypy

results: $(STAMP) ## measure everything anew and rewrite docs/results.md (about twenty hours on two cores)
	for name in decode flow input_pipeline search evaluator extraction localize_speed sola_speed coclr_speed boundaries ut_interaction urfd coclr recognition_speed heads arnet arnet_runtimes arnet_kernel map_heads; do \
	  $(BIN)/python -m benchmarks.$$name --write || exit 1; done
	for name in nms localize_training localize_heads; do \
	  OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$name --write || exit 1; done
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.sola --cache results-cache --write

# The constraints pin the build of PyTorch; on a machine with a GPU leave them out: pip install .
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[openvino,onnx,int8,faiss,test,lint]"
	touch $(STAMP)

clean:           ## remove the environment and what the demo made
	rm -rf $(VENV) demo
