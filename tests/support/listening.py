"""The addresses that a process listens on."""

import os
import socket
import struct
from pathlib import Path

_LISTEN = "0A"


def addresses(pid: int) -> set[str]:
    """Return the addresses of the listening TCP sockets of a process; empty if it has ended."""
    sockets = _sockets()
    found = set()
    try:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            found.add(sockets.get(os.readlink(handle)))
    except OSError:
        pass
    return {address for address in found if address is not None}


def descendants(pid: int) -> set[int]:
    """Return the processes that a process started, and those that they started."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in found} - found
    return found - {pid}


def _sockets() -> dict[str, str]:
    found = {}
    for file, size in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                found[f"socket:[{fields[9]}]"] = _address(fields[1].split(":")[0], size)
    return found


def _address(text: str, size: int) -> str:
    words = [int(text[at : at + 8], 16) for at in range(0, size, 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    shown = socket.inet_ntop(socket.AF_INET if size == 8 else socket.AF_INET6, packed)
    return shown.removeprefix("::ffff:")
