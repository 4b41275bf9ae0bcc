#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the page together: bundle.py HEADER HTML INDEX FILE...

INDEX has lines `<!--style NAME...-->`, `<!--script NAME...-->` and `<!--policy-->`; the named files go in
there, and the policy lets the browser run nothing but them (by their hashes). HTML is the page, HEADER the
same as C: page_head, page_tail (the frames of a report go between them) and PAGE_POLICY.
"""
import base64
import hashlib
import os
import re
import sys

FRAMES = "<!--frames-->"


def inline(index, files):
    hashes = {"style": [], "script": []}

    def put(m):
        kind, names = m.group(1), m.group(2).split()
        text = "\n" + "\n".join(files[name] for name in names) + "\n"
        assert f"</{kind}" not in text, f"</{kind} in {names}"
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
        return f"<{kind}>{text}</{kind}>"

    def comment(m):
        assert "--" not in files[m.group(1)]
        return f"<!--\n{files[m.group(1)]}-->"

    page = re.sub(r"<!--(style|script) (.*?)-->", put, index)
    page = re.sub(r"<!--licence (.*?)-->", comment, page)
    policy = ("default-src 'none'; "
              f"script-src {' '.join(hashes['script'])}; style-src {' '.join(hashes['style'])}; "
              "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'")
    return page.replace("<!--policy-->", policy), policy


def c_bytes(name, data):
    rows = ["    " + "".join(f"{b}," for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    return f"static const unsigned char {name}[] = {{\n" + "\n".join(rows) + "\n};\n"


def main():
    header, html, index, *rest = sys.argv[1:]
    files = {os.path.basename(path): open(path, encoding="utf-8").read() for path in rest}
    page, policy = inline(open(index, encoding="utf-8").read(), files)
    head, tail = page.split(FRAMES)
    with open(html, "w", encoding="utf-8") as out:
        out.write(head + tail)
    with open(header, "w", encoding="utf-8") as out:
        out.write("#pragma once\n" + c_bytes("page_head", head.encode()) +
                  c_bytes("page_tail", tail.encode()) + f'#define PAGE_POLICY "{policy}"\n')


main()
