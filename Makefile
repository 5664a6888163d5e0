# What one does with this project. Every target sets up what it needs first; when all is there that takes no time.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test unit search lint bench-contain bench-vfn bench-traffic bench-dse bench-archive bench-analyzer bench-dashboards evaluate known-attacks dashboards observe clean distclean

PY := .venv/bin/python
export PYTHON ?= python3
PRODUCT := runtime topology policies analyzer ryu_apps dashboards cli
AROUND := mininet_labs benchmarks tests
# Around the product types are checked where they are written, and not demanded.
LENIENT := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-any-generics --allow-untyped-decorators \
    --no-warn-return-any --no-warn-unused-ignores --disable-error-code=method-assign --disable-error-code=var-annotated
UNIT := not ovs and not slow and not browser and not cluster
# A process of tests for each processor, and a file's tests in one of them: what a file makes for all its tests it makes once.
EACH_PROCESSOR := -n auto --dist loadfile
ROUNDS ?= 10

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## Debian packages and .venv, as far as they are missing
	@deploy/setup.sh

setup-dev:
	@deploy/setup.sh --dev

demo: setup ## VMs turn hostile on real Open vSwitch, are seen and isolated; writes out/demo (as root, ~3 minutes)
	@$(PY) -m mininet_labs.demo --out out/demo

test: setup-dev lint ## everything: lint, types, floors, all tests (as root, on real Open vSwitch)
	@status=0; $(PY) -m pytest -m "$(UNIT)" $(EACH_PROCESSOR) || status=1; $(PY) -m pytest -m "not ($(UNIT))" || status=1; exit $$status

unit: setup-dev ## the tests that need neither root nor switches (~2 minutes on two processors)
	@$(PY) -m pytest -m "$(UNIT)" $(EACH_PROCESSOR)

search: setup-dev ## what property tests miss: ROUNDS (10) of them with other random examples
	@status=0; for round in $$(seq $(ROUNDS)); do \
	    $(PY) -m pytest -q -m "hypothesis and ($(UNIT))" --hypothesis-profile=search $(EACH_PROCESSOR) || status=1; done; exit $$status

lint: setup-dev ## style, types and the floors of docs/architecture.md
	@$(PY) -m ruff check .
	@$(PY) -m mypy $(PRODUCT)
	@$(PY) -m mypy $(LENIENT) $(AROUND)
	@.venv/bin/lint-imports --no-logo

bench-contain: setup ## time from an attack's first packet to its last one forwarded, over many attacks (as root)
	@$(PY) -m benchmarks.contain

bench-vfn: setup-dev ## what the rule engine costs, beside ovs-ofctl, Ryu and a bare bridge (as root, ~12 minutes)
	@$(PY) -m benchmarks.vfn

bench-traffic: setup-dev ## what traffic costs on its way in: flows, first packets, taps, floods, archive (as root, ~10 minutes)
	@$(PY) -m benchmarks.traffic

bench-dse: setup ## what the engine costs people: simulation, verdict to rule, random lives of rules (as root, ~8 minutes, 1 GB of disk)
	@$(PY) -m benchmarks.dse

bench-archive: setup ## how many flows a second the archive takes, and a VM-day in 100 million (~5 minutes, 5 GB of disk)
	@$(PY) -m benchmarks.archive

bench-analyzer: setup-dev ## throughput, verdict delay, calibration and score of the analyzer (~6 minutes)
	@$(PY) -m benchmarks.analyzer

observe: setup-dev ## a lab whose metrics InfluxDB keeps, to look at with Grafana or `dynseg report` (as root; Ctrl-C ends it)
	@$(PY) -m mininet_labs.observe

dashboards: setup-dev ## Grafana's dashboards, alerts and provisioning files, the page of metrics, from code
	@$(PY) -m dashboards.grafana_code
	@$(PY) -m dashboards.metrics

bench-dashboards: setup-dev ## what the time-series database and its dashboards cost (~10 minutes)
	@$(PY) -m benchmarks.dashboards

CAPTURES ?= $(T)/ctu50_ctu-normal-40_day1 $(T)/ctu50_ctu-normal-43_day1 $(T)/westermo_left_h1 $(T)/apt29_day1 $(T)/ctu_botnet4_p2p
INTERNAL ?= 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,147.32.80.0/22,198.18.0.0/15
evaluate: setup ## ROC curves, calibration, false alarms and delays on labelled CAPTURES: out/evaluation.html
	@$(PY) -m cli.main evaluate $(CAPTURES) --internal $(INTERNAL) --out out/evaluation.html $(if $(wildcard out/score.json),--score out/score.json) \
	    --confusion analyzer/models/shipped/confusion.json

# Captures whose licences allow that what is learned from them is given away: CC-BY-4.0 (Westermo), MIT (OTRF), BSD-3-Clause
# (Zeek), and StopDDoS's, free to use for building protection.
T := ../shared/traffic
KNOWN := $(T)/westermo_left_h1 $(T)/westermo_right_h1 $(T)/westermo_bottom_h1 $(T)/westermo_right_pcap_h1 $(T)/apt29_day1 \
    $(T)/otrf_covenant_atomic $(T)/otrf_purplesharp_ad_playbook_I $(T)/sshguess_zeek=brute-force \
    $(T)/ddos_pkt.TCP.synflood.spoofed=flood $(T)/ddos_amp.UDP.snmp.src161=flood $(T)/ddos_amp.TCP.reflection.SYNACK=flood \
    out/lab/flows.csv.gz

out/lab/flows.csv.gz: | setup
	@$(PY) -m mininet_labs.record --out $@

known-attacks: setup out/lab/flows.csv.gz ## the classifier that comes with dynseg, trained anew into out/known-attacks (as root, ~5 minutes)
	@$(PY) -m cli.main train $(KNOWN) --internal 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,198.18.0.0/15 \
	    --out out/known-attacks --note "known attacks"

clean: ## remove what runs and tools left (not .venv)
	rm -rf out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean
	rm -rf .venv
