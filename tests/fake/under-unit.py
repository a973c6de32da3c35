# SPDX-License-Identifier: BSD-3-Clause
# under-unit.py UNIT COMMAND...: becomes COMMAND under the system call filter
# that systemd would make of UNIT's SystemCallFilter, SystemCallArchitectures,
# RestrictAddressFamilies, RestrictNamespaces and MemoryDenyWriteExecute.  For
# where no systemd runs as process 1.  The caller has set no_new_privs.
import ctypes
import errno
import os
import re
import struct
import subprocess
import sys

options = {}
for line in open(sys.argv[1]):
    key, eq, value = line.strip().partition("=")
    if eq and not key.startswith("#"):
        options.setdefault(key, []).append(value)


def run(*command, **more):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                          **more).stdout


# What it says on stderr is of the kernel's own list, which we do not need.
sets, name = {}, None
for line in run("systemd-analyze", "syscall-filter", "--no-pager",
                stderr=subprocess.DEVNULL).splitlines():
    line = re.sub("\x1b\\[[0-9;]*m", "", line)
    if line.startswith("@"):
        name = line.strip()
        sets[name] = []
    elif line.startswith(" ") and name and not line.strip().startswith("#"):
        sets[name].append(line.strip())


def expand(word):
    if not word.startswith("@"):
        return {word}
    return set().union(*(expand(w) for w in sets[word]))


allowed = set()
for value in options["SystemCallFilter"]:
    deny = value.startswith("~")
    for word in value.lstrip("~").split():
        allowed = allowed - expand(word) if deny else allowed | expand(word)
number = {n: int(v) for n, v in re.findall(
    r"#define __NR_(\w+) (\d+)$",
    run("cc", "-dM", "-E", "-", input="#include <sys/syscall.h>\n"), re.M)}
assert len(number) > 200 and len(allowed) > 200

ALLOW, KILL = 0x7fff0000, 0x80000000
LD, JEQ, JGE, JSET, AND, RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
arch = {"x86_64": 0xc000003e, "aarch64": 0xc00000b7}[os.uname().machine]
program = []


def add(code, k, jt=0, jf=0):
    program.append(struct.pack("HBBI", code, jt, jf, k))


def refuse(error):
    return 0x00050000 | error


def argument(call, index, checks, otherwise=None):
    """For CALL: CHECKS see the low half of an argument; else go on below."""
    if call not in number:
        return
    body = [(LD, 16 + 8 * index, 0, 0)] + checks
    body += [(RET, otherwise, 0, 0)] if otherwise else [(LD, 0, 0, 0)]
    add(JEQ, number[call], 0, len(body))
    for instruction in body:
        add(*instruction)


EPERM = refuse(errno.EPERM)
assert options["SystemCallErrorNumber"] == ["EPERM"]
assert options["SystemCallArchitectures"] == ["native"]
add(LD, 4)
add(JEQ, arch, 1, 0)
add(RET, KILL)
add(LD, 0)
families = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
words = options["RestrictAddressFamilies"][-1].split()
argument("socket", 0, [i for w in words for i in
                       ((JEQ, families[w], 0, 1), (RET, ALLOW, 0, 0))],
         refuse(errno.EAFNOSUPPORT))
if options["RestrictNamespaces"] == ["yes"]:
    argument("clone", 0, [(JSET, 0x7e020080, 0, 1), (RET, EPERM, 0, 0)])
    for call in "unshare", "setns":
        add(JEQ, number[call], 0, 1)
        add(RET, EPERM)
    add(JEQ, number["clone3"], 0, 1)
    add(RET, refuse(errno.ENOSYS))      # its flags cannot be seen from here
if options["MemoryDenyWriteExecute"] == ["yes"]:
    for call in "mmap", "mmap2":
        argument(call, 2, [(AND, 6, 0, 0), (JEQ, 6, 0, 1), (RET, EPERM, 0, 0)])
    for call in "mprotect", "pkey_mprotect":
        argument(call, 2, [(JSET, 4, 0, 1), (RET, EPERM, 0, 0)])
for call in sorted(allowed & number.keys()):
    add(JEQ, number[call], 0, 1)
    add(RET, ALLOW)
add(RET, EPERM)

code = b"".join(program)
buffer = ctypes.create_string_buffer(code, len(code))
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program),
                                                ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(22, 2, fprog, 0, 0) != 0:         # PR_SET_SECCOMP, MODE_FILTER
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
