"""Takes a module's sections out that only a linker and the tuner read: `unlinked.py MODULE RESULT`.

The linker leaves its relocations for the tuner, and binaryen warns of every module that has them.
"""

import sys


def number(module, at):
    """An unsigned LEB128 and where it ends (WebAssembly 5.2.2)."""
    value = shift = 0
    while True:
        byte = module[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return value, at


def unlinked(module):
    """The preamble, and each section but `linking` and `reloc.…`."""
    kept, at = [module[:8]], 8
    while at < len(module):
        length, begin = number(module, at + 1)
        name = b""
        if module[at] == 0:
            size, start = number(module, begin)
            name = module[start : start + size]
        if name != b"linking" and not name.startswith(b"reloc."):
            kept.append(module[at : begin + length])
        at = begin + length
    return b"".join(kept)


if __name__ == "__main__":
    source, result = sys.argv[1:]
    with open(source, "rb") as file:
        module = file.read()
    with open(result, "wb") as file:
        file.write(unlinked(module))
