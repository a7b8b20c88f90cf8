#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A guest in the middle of the demonstration goes into a file, and out of it into another QEMU, where the demonstration
ends with the results and device cycles that it has on the in-process model.  Then the same with a snapshot (savevm): the
machine goes on and back to it (loadvm), and another QEMU begins with it.  Prints TAP.

The shares do not travel (QEMU's 9p cannot be migrated), so the guest copies what it runs and lets go of them first.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
RUN = os.path.join(ROOT, "tools/vm/run")
LIMIT = 400
GUEST = r"""
set -e
mkdir -p /tmp/npu /tmp/data/fashion-mnist
cp -rL build/host/lib build/host/ops build/host/share build/host/firmware /tmp/npu/
mkdir /tmp/npu/bin && cp build/host/bin/demo /tmp/npu/bin/
cp /usr/share/datasets/fashion-mnist/t10k-* /tmp/data/fashion-mnist/
export PATH=/bin
cd /tmp
umount /usr/share/datasets /npu/build /npu /run/vm
mkdir -p /usr/share/datasets && cp -r /tmp/data/fashion-mnist /usr/share/datasets/
echo started
/tmp/npu/bin/demo --backend drm --no-color
"""
number = failures = 0


def result(good, what, details=""):
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {what}", flush=True)
    if not good:
        print("\n".join("# " + line for line in details.splitlines()[-25:]), flush=True)
    return good


class Monitor:
    """QEMU's monitor at a UNIX socket that comes into being with QEMU."""

    def __init__(self, path, process):
        self.events = []  # that came while answers were awaited
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(LIMIT)
        while self.line.connect_ex(path):
            if process.poll() is not None:
                raise RuntimeError("the VM ended")
            time.sleep(0.05)
        self.file = self.line.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        for line in self.file:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            self.events.append(answer)
        raise RuntimeError("QEMU ended")

    def event(self, name, **data):
        """Takes the next event of that name with that data; waits for it."""
        while True:
            for event in self.events:
                if event.get("event") == name and data.items() <= event["data"].items():
                    self.events.remove(event)
                    return
            line = self.file.readline()
            if not line:
                raise RuntimeError("QEMU ended")
            self.events.append(json.loads(line))

    def job(self, command, **arguments):
        """Runs a job to its end; its error, or an empty string."""
        self.call(command, **{"job-id": "job"}, **arguments)
        while (job := self.call("query-jobs")[0])["status"] != "concluded":
            time.sleep(0.02)
        self.call("job-dismiss", id="job")
        return job.get("error", "")

    def number(self, name):
        return self.call("qom-get", path="/machine/peripheral/npu0", property=name)


def digest(text):
    return [line.strip() for line in text.splitlines() if line.startswith("digest")]


def start(qmp, more, sink):
    return subprocess.Popen([RUN, "--timeout", str(LIMIT), "--boot-timeout", str(LIMIT), "--memory", "1G", "--device",
                             "memory=128M", "--qmp", qmp, "--exec", GUEST] + more, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=sink, text=True)


def wait_for(process, what):
    text = ""
    for line in process.stdout:
        text += line
        if what in line:
            break
    return text


def save(source, monitor, file):
    """The machine into the file, while it runs: as much as can be goes before the stop."""
    monitor.call("migrate-set-parameters", **{"max-bandwidth": 1 << 40, "downtime-limit": 20000})
    monitor.call("migrate", uri=f"exec:cat >{file}")
    while (status := monitor.call("query-migrate")["status"]) not in ("completed", "failed"):
        if source.poll() is not None:
            raise RuntimeError("the VM ended")
        time.sleep(0.05)
    return status


def reach_the_middle(source, monitor):
    """A part of the inference is done when this returns; all of it takes 16 million cycles."""
    while (cycles := monitor.number("time-cycles")) < 1000000 and source.poll() is None:
        time.sleep(0.02)
    return cycles


def migrated(reference, directory, log):
    file, qmp = os.path.join(directory, "machine"), os.path.join(directory, "qmp")
    source = start(qmp, [], log)
    before = wait_for(source, "started")
    monitor = Monitor(qmp, source)
    cycles = reach_the_middle(source, monitor)
    status = save(source, monitor, file)
    then, queues = monitor.number("time-cycles"), monitor.number("active-queues")
    result(status == "completed", "the machine is saved", monitor.call("query-migrate").get("error-desc", ""))
    result(queues > 0 and then > 0, f"... with {queues} queues alive, at device cycle {then} (begun at {cycles})")
    monitor.call("quit")
    before += source.stdout.read()
    source.wait()
    result(not digest(before), "... in the middle of the demonstration", before)
    other = start(qmp + "2", ["--qemu=-incoming", f"--qemu=exec:cat {file}"], log)
    expect_the_end(reference, other, log, "it ends well in another QEMU")


def expect_the_end(reference, vm, log, what):
    after = vm.stdout.read()
    status = vm.wait()
    log.seek(0)
    result(status == 0, what, after + log.read())
    result(digest(after) == digest(reference), f"the same results and device cycles: {digest(after)}", after)


def add_image(monitor, path):
    """A new image that can hold snapshots; no device has it."""
    def create(**options):
        error = monitor.job("blockdev-create", options=options)
        if error:
            raise RuntimeError(f"{path}: {error}")
    create(driver="file", filename=path, size=0)
    monitor.call("blockdev-add", **{"node-name": "file", "driver": "file", "filename": path})
    create(driver="qcow2", file="file", size=1 << 20)
    monitor.call("blockdev-add", **{"node-name": "image", "driver": "qcow2", "file": "file"})


def snapshots(reference, directory, log):
    image, qmp = os.path.join(directory, "image"), os.path.join(directory, "qmp3")
    node = {"tag": "middle", "vmstate": "image", "devices": ["image"]}
    source = start(qmp, [], log)
    wait_for(source, "started")
    monitor = Monitor(qmp, source)
    add_image(monitor, image)
    reach_the_middle(source, monitor)
    monitor.call("stop")
    then, queues = monitor.number("time-cycles"), monitor.number("active-queues")
    error = monitor.job("snapshot-save", **node)
    result(not error, f"a snapshot is taken, with {queues} queues alive, at device cycle {then}", error)
    monitor.call("cont")
    while (later := monitor.number("time-cycles")) == then and source.poll() is None:
        time.sleep(0.002)
    monitor.call("stop")
    error = monitor.job("snapshot-load", **node)
    back = monitor.number("time-cycles")
    result(not error, "the machine goes on, and back to it", error)
    result(back == then and later > then, f"... from device cycle {later} to {back}")
    monitor.call("cont")
    expect_the_end(reference, source, log, "it ends well after that")
    drive = json.dumps({"driver": "qcow2", "node-name": "image", "file": {"driver": "file", "filename": image}})
    other = start(qmp + "4", ["--qemu=-blockdev", f"--qemu={drive}", "--qemu=-loadvm", "--qemu=middle"], log)
    expect_the_end(reference, other, log, "another QEMU begins with the snapshot, and ends well")


def main():
    demo = [os.path.join(ROOT, "build/bin/demo"), "--backend", "sim", "--no-color"]
    reference = subprocess.run(demo, capture_output=True, text=True, check=False)
    result(reference.returncode == 0 and digest(reference.stdout), "the demonstration succeeds on the in-process model",
           reference.stdout + reference.stderr)
    with tempfile.TemporaryDirectory() as directory, open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
        migrated(reference.stdout, directory, log)
        snapshots(reference.stdout, directory, log)
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
