#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test suites, on the host and in the VM, and ends with the line "N passed, N failed".

A suite is a program that prints TAP (CMocka's own TAP writer, or tests/vm/tap.h).  The host's suites come from
CTest's list, so they are named once.  Those with the label "both" run on the in-process model and, in one boot of the
VM, on the kernel driver; those with the label "vm" run in the VM only.  A suite that dies, hangs or prints no test
counts as one failure.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time

TAP = re.compile(r"^(not ok|ok)\b(?:\s+\d+)?\s*-?\s*(.*)$")
BEGIN = "### suite "
END = "### exit "


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add_suite(self, name, lines, status, note="", status_is_verdict=False):
        """Counts one suite's TAP lines; status is its exit code (None: timed out).

        A program that prints no TAP counts as one test if its exit status is the verdict, else as a failure.
        """
        passed = failed = skipped = 0
        for line in lines:
            match = TAP.match(line.strip())
            if not match:
                continue
            if match.group(1) == "not ok":
                failed += 1
                self.failures.append(f"{name}: {match.group(2)}")
            elif re.search(r"#\s*skip", match.group(2), re.I):
                skipped += 1
            else:
                passed += 1
        if status is None:
            failed += 1
            self.failures.append(f"{name}: timed out")
        elif status != 0 and failed == 0:
            failed += 1
            self.failures.append(f"{name}: exit status {status}")
        elif passed + failed + skipped == 0 and status_is_verdict:
            passed = 1
        elif passed + failed + skipped == 0:
            failed += 1
            self.failures.append(f"{name}: printed no test")
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        mark = "ok  " if failed == 0 else "FAIL"
        skip = f", {skipped} skipped" if skipped else ""
        print(f"  {mark} {name:<44} {passed} passed, {failed} failed{skip}{note}", flush=True)


def ctest_suites(build, only):
    """CTest's tests whose name matches, as (name, argv, environment, timeout, labels); argv [] is not built."""
    text = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True, text=True).stdout
    for test in json.loads(text)["tests"]:
        if only and not re.search(only, test["name"]):
            continue
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        environment = dict(item.split("=", 1) for item in properties.get("ENVIRONMENT", []))
        yield (test["name"], test.get("command", []), environment, float(properties.get("TIMEOUT", 300)),
               properties.get("LABELS", []))


def run_host(args, tally):
    print(f"{args.title or 'On the host'} ({args.build})", flush=True)
    os.makedirs(args.logs, exist_ok=True)
    for name, _, extra, timeout, labels in ctest_suites(args.build, args.only):
        if "vm" in labels:
            continue
        environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", NPU_BACKEND="sim", **extra)
        start = time.monotonic()
        log = os.path.join(args.logs, name + ".log")
        with open(log, "w+", errors="replace") as out:
            try:
                # Through ctest, which knows what a test's success is: exit status, expected failure or output.
                limit = timeout * args.slower
                status = subprocess.run(["ctest", "-V", "-R", f"^{re.escape(name)}$", "--timeout", str(limit)],
                                        stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=args.build,
                                        timeout=limit + 30, check=False).returncode
            except subprocess.TimeoutExpired:
                status = None
            out.seek(0)
            lines = [re.sub(r"^\d+: ?", "", line) for line in out]
        before = tally.failed
        tally.add_suite(args.prefix + name, lines, status, f"   {time.monotonic() - start:.1f} s",
                        status_is_verdict=True)
        if tally.failed != before:
            print(f"       log: {log}")
            sys.stdout.write("".join("       | " + line for line in lines[-15:]))


def guest_path(path, source):
    """A path of the checkout as the guest sees it: mounted at /npu."""
    return path.replace(source, "/npu", 1) if path.startswith(source) else path


def vm_script(args):
    """The guest-side script: one marker before and one after each suite."""
    lines = ["export CMOCKA_MESSAGE_OUTPUT=TAP NPU_BACKEND=drm"]
    lines += [f"export {name}={shlex.quote(os.environ[name])}" for name in ("NPU_FUZZ_CALLS", "NPU_FUZZ_SEED")
              if name in os.environ]
    for name, argv, extra, timeout, labels in ctest_suites(args.build, args.only):
        if not set(labels) & {"both", "vm"}:
            continue
        words = ["drm" if before == "--backend" else word for before, word in zip([""] + argv, argv)]
        command = " ".join(shlex.quote(guest_path(word, args.source)) for word in words)
        environment = " ".join(f"{key}={shlex.quote(guest_path(value, args.source))}" for key, value in extra.items())
        lines.append(f"echo {shlex.quote(BEGIN + name)}")
        limit = int(timeout * args.slower)
        lines.append(f"env {environment} timeout {limit} {command} 2>&1; status=$?; echo; echo \"{END}$status\"")
    if args.vm_last:
        lines.append(f"echo {shlex.quote(BEGIN + 'last')}")
        lines.append(f"{args.vm_last} 2>&1; status=$?; echo; echo \"{END}$status\"")
    return "\n".join(lines) + "\n"


def run_vm(args, tally):
    title = args.title or "In the VM, on the kernel driver"
    print(f"{title} ({args.vm_run})", flush=True)
    os.makedirs(args.logs, exist_ok=True)
    script = os.path.join(args.logs, "vm-suites.sh")
    with open(script, "w") as out:
        out.write(vm_script(args))
    log = os.path.join(args.logs, "vm.log")
    command = shlex.split(args.vm_run) + ["--timeout", str(args.vm_timeout), "--exec",
                                          "sh " + guest_path(os.path.abspath(script), args.source)]
    suite, lines, seen = None, [], 0
    with open(log, "w", errors="replace") as out, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            errors="replace") as vm:
        for line in vm.stdout:
            out.write(line)
            line = line.rstrip("\r\n")
            if line.startswith(BEGIN):
                suite, lines = line[len(BEGIN):], []
            elif line.startswith(END) and suite:
                tally.add_suite("vm." + suite, lines, int(line[len(END):]))
                if not line.endswith(END + "0"):
                    sys.stdout.write("".join("       | " + text + "\n" for text in lines[-15:]))
                suite, seen = None, seen + 1
            else:
                lines.append(line)
        status = vm.wait()
    if suite:
        tally.add_suite("vm." + suite, lines, None)
    if seen == 0 or (status != 0 and suite is None):
        tally.add_suite("vm.boot", lines, status or 1, f"   log: {log}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", choices=["host", "vm", "add", "sum"],
                        help="host, vm: run suites; add: count one result given by --name and --status; sum: close")
    parser.add_argument("--name", help="with add: the check's name; its TAP lines come from standard input")
    parser.add_argument("--status", type=int, default=0, help="with add: its exit status")
    parser.add_argument("--build", default="build/host", help="CMake build directory")
    parser.add_argument("--source", default=os.getcwd(), help="checkout, mounted at /npu in the guest")
    parser.add_argument("--logs", default="build/check")
    parser.add_argument("--only", help="regular expression: run only suites whose name matches")
    parser.add_argument("--title")
    parser.add_argument("--prefix", default="", help="put before the suites' names")
    parser.add_argument("--slower", type=float, default=1, help="factor on time limits, for builds that check")
    parser.add_argument("--vm-run", default="tools/vm/run")
    parser.add_argument("--vm-timeout", type=int, default=900)
    parser.add_argument("--vm-last", help="command that runs in the VM after the suites and prints TAP")
    parser.add_argument("--tally", help="JSON file that sums over several calls")
    args = parser.parse_args()

    tally = Tally()
    if args.tally and os.path.exists(args.tally):
        with open(args.tally) as source:
            tally.__dict__.update(json.load(source))
    before, counted = tally.failed, tally.passed + tally.failed + tally.skipped
    if args.where == "host":
        run_host(args, tally)
    elif args.where == "vm":
        run_vm(args, tally)
    elif args.where == "add":
        tally.add_suite(args.name, sys.stdin.readlines(), args.status)
    else:
        for failure in tally.failures:
            print(f"failed: {failure}")
        skipped = f", {tally.skipped} skipped" if tally.skipped else ""
        print(f"{tally.passed} passed, {tally.failed} failed{skipped}")
        return 1 if tally.failed or not tally.passed else 0
    if tally.passed + tally.failed + tally.skipped == counted:
        tally.add_suite(f"{args.prefix}{args.where}", [], 1, "   no suite was run")
    if args.tally:
        with open(args.tally, "w") as out:
            json.dump(tally.__dict__, out)
    return 1 if tally.failed > before else 0


if __name__ == "__main__":
    sys.exit(main())
