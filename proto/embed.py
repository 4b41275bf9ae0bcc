#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the bytes of a file as a C array: embed.py INPUT OUTPUT NAME."""
import sys

src, dst, name = sys.argv[1:]
data = open(src, "rb").read()
with open(dst, "w") as out:
    out.write("#pragma once\n")
    out.write(f"static const unsigned char {name}[] __attribute__((unused)) = {{\n")
    for i in range(0, len(data), 16):
        out.write("    " + "".join(f"{b}," for b in data[i:i + 16]) + "\n")
    out.write("};\n")
