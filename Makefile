# CaptionScope. `make help` lists everything.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
DEMO    := data/demo

DATA    ?= $(DEMO)
ifeq ($(DATA),$(DEMO))
CAPTIONER ?= engine/demo/captioner
CLIP      ?= demo
RUN       ?= demo
BEAMS     ?= 1 3 4 5 6 7 8 9 10 15 100
else
CLIP      ?= ViT-B/32
RUN       ?= $(notdir $(abspath $(DATA)))
BEAMS     ?= 1 3 5
endif
SPLIT   ?=
RESULTS ?= results
RECIPE  ?= engine/recipes/demo_quick.toml
# The demo's training split is a folder of its own: evaluation needs none of its 6,000 pictures.
TRAIN_DATA := $(if $(filter $(DEMO),$(DATA)),$(DEMO)-train,$(DATA))
TRAIN_WORLD := --train 6000 --val 200 --test 0 --classes 0
OUT     ?= checkpoints/$(notdir $(basename $(RECIPE)))
# The study: the course's folder, or the demo world in its layout with the demo's own models.
STUDY   := $(if $(filter $(DEMO),$(DATA)),$(DEMO)-course,$(DATA))
# What was typed, and not merely the default above: the study has defaults of its own.
typed = $(if $(filter command environment,$(firstword $(origin $(1)))),$($(1)))
STUDY_WORLD ?= --val 600 --classes 30
STUDY_RUN = $(or $(call typed,RUN),study)
ZEROSHOT_CLIP ?= $(if $(filter $(DEMO),$(DATA)),demo,ViT-L/14)
SCORE_CLIP ?= $(if $(filter $(DEMO),$(DATA)),demo,ViT-B/32)
ARGS    ?=
PORT    ?= 8501
LIVE    ?=

.DEFAULT_GOAL := help
.PHONY: help install data evaluate study dashboard train demo-models test test-slow fuzz kills bench lint doctor clean

help: ## List every target and variable
	@echo "targets:"
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo "variables (make TARGET NAME=value):"
	@echo "  DATA       dataset folder or annotation file: COCO, the course's, Flickr8k, photos ($(DEMO))"
	@echo "  CAPTIONER  folder of a trained captioner, or a plugin (the demo's, with the demo data)"
	@echo "  CLIP       the CLIP that scores: demo, ViT-B/32, a folder, model:file; CLIP= for none"
	@echo "  BEAMS      beam sizes, 1 is greedy ($(BEAMS))"
	@echo "  SPLIT      train, val, test, a full name, or all (val, else all)"
	@echo "  RUN        name of the run (demo, else the data's name)"
	@echo "  RESULTS    results folder ($(RESULTS))"
	@echo "  RECIPE     training recipe ($(RECIPE))"
	@echo "  OUT        where a trained captioner goes ($(OUT))"
	@echo "  ARGS       more arguments for evaluate, train, study, test or kills (see --help of each)"
	@echo "  ZEROSHOT_CLIP, SCORE_CLIP  the study's CLIP that classifies ($(ZEROSHOT_CLIP)) and that scores ($(SCORE_CLIP))"
	@echo "  PORT       the dashboard's port ($(PORT))"
	@echo "  LIVE       1: the dashboard has a page that captions your own photos"
	@echo "  PYTHON     the interpreter that makes .venv, 3.11 or later ($(PYTHON))"

install: $(READY) ## Make .venv with the pinned requirements

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11; choose another with PYTHON=python3.12"; exit 1; }
	@echo "installing into $(VENV): a few minutes and 6 GB the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[tests]"
	@touch $@

data: $(READY) ## Draw the demo world into data/demo
	@$(BIN)/python -m engine.demo.world --out $(DEMO)

evaluate: $(READY) $(if $(filter $(DEMO),$(DATA)),data) ## Caption, score and explain DATA with CAPTIONER
	@test -n "$(CAPTIONER)" || { echo "choose a trained captioner: make evaluate DATA=$(DATA) CAPTIONER=folder"; exit 1; }
	@$(BIN)/python -m engine evaluate --data "$(DATA)" --captioner "$(CAPTIONER)" --beams $(BEAMS) --run "$(RUN)" \
		--results "$(RESULTS)" $(if $(CLIP),--clip "$(CLIP)") $(if $(SPLIT),--split $(SPLIT)) $(ARGS)
	@$(if $(filter $(DEMO)|engine/demo/captioner,$(DATA)|$(CAPTIONER)),test ! -e "$(RESULTS)/runs/$(RUN)/run.json" || \
		$(BIN)/python -m engine.demo.twins --pairs 100 --run "$(RUN)" --results "$(RESULTS)")

study: $(READY) ## Reproduce the study on DATA (course's layout; else the demo world), report included
	@$(if $(filter $(DEMO),$(DATA)),$(BIN)/python -m engine.demo.world --layout course --out $(STUDY) $(STUDY_WORLD))
	@$(BIN)/python -m engine study --data "$(STUDY)" $(if $(CAPTIONER),--captioner "$(CAPTIONER)") \
		--zeroshot-clip "$(ZEROSHOT_CLIP)" --score-clip "$(SCORE_CLIP)" --run "$(STUDY_RUN)" --results "$(RESULTS)" \
		$(if $(call typed,RECIPE),--recipe "$(RECIPE)") $(if $(call typed,OUT),--out "$(OUT)") \
		$(if $(call typed,BEAMS),--beams $(BEAMS)) $(ARGS)
	@echo; echo "drawing the report"; name="$(STUDY_RUN)"; \
		test -f "$(RESULTS)/runs/$$name/run.json" || name="$$name-zeroshot"; \
		$(BIN)/python -m dashboard.report "$$name" --quiet --results "$(RESULTS)" --out "$(RESULTS)/$(STUDY_RUN)-report.zip"

dashboard: $(READY) ## Open the dashboard over RESULTS; LIVE=1 adds a page that captions your photos
	@CAPTIONSCOPE_LIVE="$(LIVE)" CAPTIONSCOPE_RESULTS="$(abspath $(RESULTS))" $(BIN)/streamlit run dashboard/app.py --server.address 127.0.0.1 --server.port $(PORT)

train: $(READY) ## Train a captioner on DATA by RECIPE into OUT
	@$(if $(filter $(DEMO),$(DATA)),$(BIN)/python -m engine.demo.world --out $(TRAIN_DATA) $(TRAIN_WORLD))
	@$(BIN)/python -m engine train --data "$(TRAIN_DATA)" --recipe "$(RECIPE)" --out "$(OUT)" --results "$(RESULTS)" $(ARGS)

demo-models: $(READY) data ## Train the demo CLIP and captioner again from nothing (about two hours on two cores)
	@$(BIN)/python -m engine.demo.pretraining
	@$(BIN)/python -m engine.demo.polish
	@$(BIN)/python -m engine.demo.world --out $(DEMO)-models --train 12000 --val 600 --test 0 --classes 0
	@$(BIN)/python -m engine train --data $(DEMO)-models --recipe engine/recipes/demo.toml --out checkpoints/demo-models \
		--encoder-weights data/demo-training/encoder.safetensors
	@$(BIN)/python -m engine.demo.ship --captioner checkpoints/demo-models
	@$(BIN)/python -m engine evaluate --data $(DEMO) --captioner engine/demo/captioner --clip demo --beams 1 \
		--run demo-models --results "$(RESULTS)"
	@$(BIN)/python -m engine.demo.measure --run demo-models --results "$(RESULTS)"

test: $(READY) ## Run the tests on every core (ARGS="-n 0 -x" for one)
	@$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile $(ARGS)

test-slow: $(READY) ## Run the slow tests (METEOR)
	@$(BIN)/python -m pytest -q -m slow $(ARGS)

fuzz: $(READY) ## Give damaged files to every reader: COUNT of each (1000), ARGS="coco --seed 1" for one
	@$(BIN)/python -m tests.fuzz --count $(or $(COUNT),1000) $(ARGS)

kills: $(READY) ## Kill every command at every change of the file system, and continue it (half an hour)
	@$(BIN)/python -m tests.kills --all $(ARGS)

bench: $(READY) ## Run the benchmarks
	@for file in tests/benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

lint: $(READY) ## Check style, formatting and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/ty check --python $(BIN)/python --quiet

doctor: $(READY) ## Say what is installed, what is missing, and what to do
	@$(BIN)/python -m engine doctor

clean: ## Delete the environment and the demo data; results and checkpoints stay
	rm -rf $(VENV) $(DEMO) $(DEMO)-course
