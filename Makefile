# SPDX-License-Identifier: Apache-2.0
# The one door.  No logic lives here: each target names the scripts that do the work.

STEP := tools/setup/step.sh
PREFIX ?= /usr/local

all: host module ## build everything: programs, libraries, firmware, operators, driver

host: ## build what runs without a VM (./build/bin/demo --backend sim)
	@tools/setup/setup.sh host
	@tools/setup/build-host.sh

module: ## build the driver for the guest's kernel
	@tools/setup/setup.sh host vm
	@tools/setup/kernel.sh
	@tools/setup/build-module.sh

setup: ## install packages, build QEMU with the device, fetch the guest's kernel
	@tools/setup/setup.sh host vm
	@tools/setup/vm.sh

demo: setup host module ## the demonstration, in the VM
	@tools/vm/run --timeout 900 --exec 'tools/vm/demo.sh'

check: setup host module ## all tests (NPU_CHECK=host: without the VM)
	@tests/run.sh

check-debug: setup host ## the VM's tests in a kernel that watches the driver (builds it once: about 15 minutes)
	@tools/setup/debug-kernel.sh
	@tests/vm/debug.sh

check-qemu10: setup host module ## the VM's tests on QEMU 10 (builds it once: about 10 minutes)
	@tests/vm/qemu-major.sh 10

fuzz: setup host ## run every fuzz target for FUZZ_SECONDS (60) seconds, with clang's sanitizers
	@tools/setup/setup.sh host fuzz
	@tests/fuzz/run.sh

bench: setup host module ## all benchmarks, into build/bench.json
	@tests/bench/run.sh

vm: setup host module ## a shell in the guest: driver loaded, tools on PATH, this checkout at /npu
	@tools/vm/run --shell

install: host ## install programs, libraries and headers below PREFIX (/usr/local)
	@$(STEP) install build/logs/install.log cmake --install build/host --prefix $(PREFIX)

clean: ## remove build/; QEMU and the guest's kernel stay in the cache
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: all host module setup demo check check-debug check-qemu10 fuzz bench vm install clean help
.NOTPARALLEL:
