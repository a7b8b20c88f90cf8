# SPDX-License-Identifier: Apache-2.0
# Sourced by build-qemu.sh: faults of QEMU's own that the guest meets, mended in the unpacked source where it has them.
# Every one is told by its text; a source that has neither the fault nor what upstream has put in its place is refused,
# for nobody would know what it does.

# mended WHAT FILE COMMAND...: fails unless the command finds that the file is now right.
mended() {
  local what=$1 file=$2
  shift 2
  "$@" || die "this QEMU source has neither the known fault nor its known mending: $what (${file##*/})" \
    "Look at the place, and adapt tools/setup/qemu-patches.sh."
  echo "right: $what"
}

# QEMU 7.2 keeps error messages (AER) from the root port: correctable ones always, others unless SERR is on, though either
# that or the device control register asks for them.
report_errors() { # TREE
  local source=$1/hw/pci/pcie_aer.c what="error messages reach the root port"
  # The old condition asks for SERR alone.
  if grep -A1 'if (!(pcie_aer_msg_is_uncor(msg) &&' "$source" | grep -q 'PCI_COMMAND_SERR))) {'; then
    # The condition loses its negation, and its block goes on to the end of what it is about.
    sed -i '/^pcie_aer_msg_alldev/,/^}/ {
      s/if (!(pcie_aer_msg_is_uncor(msg) &&/if ((pcie_aer_msg_is_uncor(msg) \&\&/
      /PCI_COMMAND_SERR))) {/ { n; N; d }
      s/PCI_STATUS_SIG_SYSTEM_ERROR);/&\n    }/
    }' "$source"
  fi
  # Ours, or upstream's, where each kind of message is let through by its own bit, too.
  mended "$what" "$source" grep -qE 'if \(\(pcie_aer_msg_is_uncor\(msg\) &&|severity == PCI_ERR_ROOT_CMD_COR_EN\) &&' "$source"
}

# QEMU 7.2 lets no other file send an error message.
offer_errors() { # TREE
  local source=$1/hw/pci/pcie_aer.c header=$1/include/hw/pci/pcie_aer.h what="devices may send error messages"
  if grep -q '^static int pcie_aer_inject_error(' "$source"; then
    sed -i 's/^static int pcie_aer_inject_error(/int pcie_aer_inject_error(/' "$source"
    sed -i 's/^void pcie_aer_exit(.*/&\nint pcie_aer_inject_error(PCIDevice *dev, const PCIEAERErr *err);/' "$header"
  fi
  mended "$what" "$header" grep -q '^int pcie_aer_inject_error(' "$header"
}

# QEMU 7.2 computes the flags of a 16-byte compare-and-exchange from an operation that it has not stored yet: any value may
# stay in them until the next instruction that sets flags, and an interrupt in between brings it back with the trap flag
# in it.  Linux' allocator does that all the time; the guest dies of it now and then, most often on waking (S3).  Later
# versions compute the flags first, or have no helper that reads them.
keep_flags() { # TREE
  local source=$1/target/i386/tcg/translate.c what="flags survive a 16-byte compare-and-exchange"
  if grep -q 'gen_helper_cmpxchg16b_unlocked' "$source"; then
    follows 'gen_lea_modrm(env, s, modrm);' 'gen_update_cc_op(s);' "$source" ||
      sed -i '/case 0x1c7: \/\* cmpxchg8b \*\//,/case 7: \/\* RDSEED \*\// {
        /gen_update_cc_op(s);/ d
        s/^\( *\)gen_lea_modrm(env, s, modrm);$/&\n\1gen_update_cc_op(s);/
      }' "$source"
    mended "$what" "$source" follows 'gen_lea_modrm(env, s, modrm);' 'gen_update_cc_op(s);' "$source"
  else
    [ ! -f "$1/target/i386/tcg/emit.c.inc" ] || source="$1/target/i386/tcg/emit.c.inc"
    mended "$what" "$source" follows '/* Update Z. */' 'gen_compute_eflags(s);' "$source"
  fi
}

# follows LINE NEXT FILE: somewhere the one line stands right before the other.
follows() { grep -A1 -F "$1" "$3" | grep -qF "$2"; }

patch_qemu() { # TREE
  offer_errors "$1"
  report_errors "$1"
  keep_flags "$1"
}
