# SPDX-License-Identifier: Apache-2.0
"""The virtual machine as QEMU's command line: what is plugged in where, and why."""

import os
import re
import subprocess


class VmError(Exception):
    """A sentence for people, and what to do next."""


def root_of_checkout():
    return os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def cache_dir():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("NPU_CACHE") or os.path.join(home, "npu-stack")


def must_exist(path, what, remedy):
    if not os.path.exists(path):
        raise VmError(f"{what} is missing: {path}. {remedy}")
    return path


def image_dir(options):
    """Where image and logs lie: kernels other than the stock one have a place of their own, for runs side by side."""
    where = os.path.join(options.build, "vm")
    kernel = os.path.realpath(options.kernel_dir)
    stock = os.path.realpath(os.path.join(cache_dir(), "kernel"))
    return where if kernel == stock else os.path.join(where, os.path.basename(kernel))


def qemu_binary():
    chosen = os.environ.get("NPU_QEMU")
    if chosen:
        return must_exist(chosen, "the QEMU that NPU_QEMU names", "Correct or unset NPU_QEMU.")
    return must_exist(os.path.join(cache_dir(), "qemu", "qemu-system-x86_64"), "QEMU with the NPU device",
                      "Build it: make setup (or tools/setup/build-qemu.sh).")


def read_release(kernel_dir):
    path = must_exist(os.path.join(kernel_dir, "release"), "the guest kernel", "Fetch it: make setup (or tools/setup/kernel.sh).")
    with open(path, encoding="ascii") as source:
        return source.read().strip()


def choose_accelerator():
    """KVM only where a guest really runs: the CPU has the extension, and the device opens."""
    chosen = os.environ.get("NPU_ACCEL")
    if chosen:
        return chosen
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        able = re.search(r"^flags\s*:.*\b(vmx|svm)\b", info.read(), re.M)
    return "kvm" if able and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def model_library(build):
    for where in ("lib", os.path.join("host", "lib")):
        path = os.path.join(build, where, "libnpu-model.so")
        if os.path.exists(path):
            return path
    raise VmError(f"the device model is missing: no lib/libnpu-model.so below {build}. Build it: make "
                  "(or start without a device: --devices 0)")


def firmware_rom(s3):
    # qboot does nothing but place tables and jump: half a second less than a PC BIOS under emulation.  It knows no S3.
    if s3:
        return must_exist("/usr/share/seabios/bios-256k.bin", "the PC BIOS", "Install the package seabios (or: make setup).")
    for path in ("/usr/share/qemu/qboot.rom", "/usr/share/qemu/bios-microvm.bin"):
        if os.path.exists(path):
            return path
    raise VmError("qboot.rom is missing in /usr/share/qemu. Install the package qemu-system-data (or: make setup)")


# Everything here saves the guest time at boot or is needed for messages to reach the log.
KERNEL_ARGS = [
    "console=ttyS0", "quiet", "loglevel=4", "panic=-1", "oops=panic", "tsc=reliable", "no_timer_check",
    "mitigations=off", "nokaslr", "random.trust_cpu=on", "rcupdate.rcu_expedited=1", "cryptomgr.notests",
    "8250.nr_uarts=1", "i8042.noaux", "i8042.nokbd", "audit=0", "lsm=", "init_on_alloc=0",
    "module.sig_enforce=0", "rdinit=/init",
]


class Machine:
    """Builds the argument list; holds no process."""

    def __init__(self, options, run_dir):
        self.options = options
        self.run_dir = run_dir
        self.accel = choose_accelerator()

    def base(self):
        # QEMU lays an uncompressed kernel into memory at every reset, so also at the one that wakes a sleeping guest.
        name = "unpacked/boot/vmlinuz-" + read_release(self.options.kernel_dir) if self.options.s3 else "vmlinux"
        kernel = must_exist(os.path.join(self.options.kernel_dir, name), "the guest kernel",
                            "Fetch it: make setup (or tools/setup/kernel.sh).")
        image = must_exist(os.path.join(self.options.image, "initramfs.cpio"), "the guest image",
                           "Make it: tools/vm/build-image.sh.")
        accel = "tcg,thread=multi,tb-size=256" if self.accel == "tcg" else self.accel
        # The PC BIOS cannot wake a q35: it looks for memory-mapped configuration space that the reset has taken away.
        machine = "pc,vmport=off" if self.options.s3 else "q35,vmport=off,smbus=off,sata=off"
        if self.accel == "kvm":
            machine += ",kernel-irqchip=split"
        return [
            qemu_binary(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", accel,
            "-machine", machine, "-cpu", "host" if self.accel == "kvm" else self.options.cpu, "-smp",
            str(self.options.cpus), "-m", self.options.memory, "-L", "/usr/share/qemu", "-L", "/usr/share/seabios",
            "-bios", firmware_rom(self.options.s3), "-kernel", kernel, "-initrd", image, "-append",
            " ".join(KERNEL_ARGS + (["intel_iommu=on"] if self.options.iommu else []) + self.options.append),
        ]

    def share(self, tag, path, readonly):
        return ["-fsdev", f"local,id={tag},path={path.replace(',', ',,')},security_model=none,"
                f"multidevs=remap,readonly={'on' if readonly else 'off'}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    def shares(self):
        args = self.share("run", self.run_dir, False)
        args += self.share("checkout", root_of_checkout(), not self.options.writable)
        args += self.share("build", self.options.build, False)
        if self.options.data:
            args += self.share("data", self.options.data, True)
        return args

    def peers(self):
        """What stands beside the NPUs.  The IOMMU comes before all that it is to stand in front of."""
        args = ["-device", "intel-iommu,intremap=off"] if self.options.iommu else []
        if self.options.nvme_null:
            args += ["-blockdev", f"null-co,node-name=null,size={1 << 30},read-zeroes=on",
                     "-device", "nvme,id=nvme,serial=null,drive=null"]
        return args

    def npus(self):
        """Each device sits behind a root port of its own: errors are reported through it, and it can be unplugged.  The
        board that can sleep has no such ports."""
        args = []
        for index in range(self.options.devices):
            properties = [f"id=npu{index}"]
            if not self.options.s3:
                args += ["-device", f"pcie-root-port,id=port{index},chassis={index + 1},slot={index + 1}"]
                properties.append(f"bus=port{index}")
            given = ",".join(self.options.device)
            if "model=" not in given:
                properties.append("model=" + model_library(self.options.build).replace(",", ",,"))
            if "seed=" not in given:
                properties.append(f"seed={index + 1}")
            args += ["-device", ",".join(["npu"] + properties + self.options.device)]
        if not self.options.s3:
            # The ports' own hotplug, as hardware has it: the board's needs a BIOS that sets it up.
            args += ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
        return args

    def arguments(self, console, channels):
        """console: file that gets the kernel's messages.  channels: descriptors for the command's output, or none."""
        args = self.base() + self.peers() + self.shares() + self.npus()
        args += ["-chardev", f"file,id=console,path={console.replace(',', ',,')}", "-serial", "chardev:console"]
        args += ["-device", "virtio-serial-pci,max_ports=4"]
        if channels:
            for number, (name, fd) in enumerate(channels.items(), 1):
                args += ["-add-fd", f"fd={fd},set={number}",
                         "-chardev", f"file,id={name},path=/dev/fdset/{number},append=on",
                         "-device", f"virtserialport,chardev={name},name=npu.{name},nr={number}"]
        else:
            args += ["-chardev", "stdio,id=shell,signal=off", "-device", "virtconsole,chardev=shell"]
        for path in [os.path.join(self.run_dir, "qmp")] + ([self.options.qmp] if self.options.qmp else []):
            args += ["-qmp", f"unix:{path.replace(',', ',,')},server=on,wait=off"]
        return args + self.options.qemu


def build_image(options):
    """Brings the image up to date: a change of npu.ko or a library must never be missed."""
    command = [os.path.join(root_of_checkout(), "tools", "vm", "build-image.sh"), "--build", options.build,
               "--out", options.image, "--kernel", options.kernel_dir]
    if options.module:
        command += ["--module", options.module]
    if options.firmware:
        command += ["--firmware", options.firmware]
    if subprocess.run(command, check=False).returncode:
        raise VmError("the guest image could not be made, see above")
