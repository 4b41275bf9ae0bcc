# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/architecture.md and CONTRIBUTING.md, as tests. A message says what to do instead."""

import hashlib
import os
import pathlib
import re
import statistics
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GPUSCALE_BUILD", ROOT / "build")).resolve()

# Who may include and link whom (docs/architecture.md has the same table, and a test compares them).
MAY_USE = {
    "base": set(),
    "conf": {"base"},
    "core": {"base"},
    "gpu": {"base", "core"},
    "net": {"base", "core", "conf"},
    "podres": {"base", "core", "net"},
    "store": {"base", "core"},
    "web": {"base", "core", "net"},
    "manifest": {"base", "core", "conf"},
    "kube": {"base", "core", "conf", "net", "web", "manifest"},
    "source": {"base", "core", "net", "web"},
    "report": {"base", "core"},
    "agent": {"base", "core", "gpu", "podres", "net", "conf"},
    "scaler": {"base", "core", "net", "web", "source", "kube", "store", "conf", "report", "manifest"},
    "sim": {"base", "core", "store", "report", "conf"},
    "load": {"base", "core", "net", "conf", "report"},
    "engine": {"base", "core", "net", "conf", "report"},
    "playground": {"base", "core", "net", "conf", "report"},
    "tools": {"base", "core", "conf", "net", "web", "source", "kube", "sim", "store", "manifest",
              "report"},
}
MAY_USE["cmd"] = set(MAY_USE)

# Which folders may include or call which library.
LIBRARIES = {
    "libfyaml": (r"libfyaml\.h", r"fy_", {"conf"}),
    "libuv": (r"uv\.h", r"uv_",
              {"net", "web", "podres", "source", "agent", "scaler", "playground", "load",
               "engine", "tools", "kube"}),
    "nghttp2": (r"nghttp2/", r"nghttp2_", {"net"}),
    "OpenSSL": (r"openssl/", r"(?:SSL|X509|EVP|ERR|BIO|PEM)_", {"net"}),
    "protobuf-c": (r"(?:protobuf-c/.*|.*\.pb-c\.h)", r"protobuf_c_",
                   {"net", "podres", "source", "agent", "scaler", "playground", "tools"}),
    "libcurl": (r"curl/", r"curl_", {"web"}),
    "jansson": (r"jansson\.h", r"json_(?:load|object|array|dump|integer|string|delete|unpack)",
                {"web", "manifest", "kube", "tools", "engine"}),
    "SQLite": (r"sqlite3\.h", r"sqlite3_", {"store"}),
    "zlib": (r"zlib\.h", r"(?:deflate|inflate|compress2?|gz)[A-Z_a-z0-9]*$", {"net", "agent"}),
    "uthash": (r"ut(?:hash|list)\.h", None, {"base"}),
    "xxHash": (r"xxhash\.h", r"XXH", {"base"}),
}

# What the agent may link, beside libc's own parts (a node daemon stays small).
AGENT_NEEDED = {"libuv.so.1", "libnghttp2.so.14", "libssl.so.3", "libcrypto.so.3",
                "libprotobuf-c.so.1", "libfyaml.so.0", "libz.so.1", "libcrypt.so.1",
                "libc.so.6", "libm.so.6", "libxxhash.so.0", "ld-linux-x86-64.so.2",
                "ld-linux-aarch64.so.1"}

# What pure code must not reach: clocks, files, the network, the environment, threads.
IMPURE = {"clock_gettime", "time", "gettimeofday", "open", "open64", "read", "write", "fopen",
          "fopen64", "fread", "fwrite", "printf", "fprintf", "puts", "socket", "connect", "send",
          "recv", "poll", "epoll_wait", "getenv", "secure_getenv", "getrandom", "pthread_create",
          "nanosleep", "usleep", "sleep", "exit", "system", "fork", "dlopen", "malloc", "calloc",
          "realloc", "free"}

BANNED = {
    "strcpy": "str_copy", "strcat": "buf_addc", "strncpy": "str_copy", "strncat": "buf_add",
    "sprintf": "snprintf or buf_addf", "vsprintf": "vsnprintf", "strtok": "str_cut",
    "rand": "random_u64", "atoi": "str_to_i64", "atol": "str_to_i64", "atof": "str_to_double",
    "localtime": "clock_format_utc", "gmtime": "clock_format_utc", "gets": "a bounded read",
}


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.split()
    return [ROOT / p for p in out if (ROOT / p).is_file()]


def sources(*patterns):
    return [p for p in tracked(*patterns) if p.suffix in (".c", ".h")]


def relative(path):
    return path.relative_to(ROOT)


def folder_of(path):
    return relative(path).parts[1]


def report(problems):
    assert not problems, "\n" + "\n".join(problems)


def test_includes_follow_the_dependency_table():
    problems = []
    for path in sources("src"):
        folder = folder_of(path)
        assert folder in MAY_USE, f"src/{folder} is not in the dependency table: add it there and here"
        allowed = MAY_USE[folder] | {folder}
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
            if m and m.group(1) in MAY_USE and m.group(1) not in allowed:
                problems.append(f"{relative(path)}:{n}: {folder} must not include {m.group(1)}")
    report(problems)


def test_libraries_are_included_only_by_their_owners():
    problems = []
    for path in sources("src"):
        folder = folder_of(path)
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
            if not m:
                continue
            for library, (header, _, owners) in LIBRARIES.items():
                if re.match(header, m.group(1)) and folder not in owners | {"cmd"}:
                    problems.append(f"{relative(path)}:{n}: {library} belongs to {sorted(owners)}")
    report(problems)


def archive_symbols():
    """{folder: (defined, undefined)} of the static libraries in the build."""
    found = {}
    for archive in sorted(BUILD.glob("src/**/lib*.a")):
        folder = archive.relative_to(BUILD).parts[1]
        members = subprocess.run(["ar", "t", str(archive)], capture_output=True, text=True,
                                 check=True).stdout
        assert members, f"{archive} is empty"
        out = subprocess.run(["nm", "-P", "--no-demangle", str(archive)], capture_output=True,
                             text=True, check=True, cwd=archive.parent).stdout
        defined, undefined = found.setdefault(folder, (set(), set()))
        for line in out.splitlines():
            parts = line.split()
            if len(parts) >= 2 and len(parts[1]) == 1:
                (undefined if parts[1] in "Uw" else defined).add(parts[0])
    for defined, undefined in found.values():
        undefined -= defined
    assert found, f"no libraries in {BUILD}: build first"
    return found


@pytest.fixture(scope="module")
def symbols():
    return archive_symbols()


def test_linking_follows_the_dependency_table(symbols):
    owner = {}
    for folder, (defined, _) in symbols.items():
        for symbol in defined:
            owner.setdefault(symbol, folder)
    problems = []
    for folder, (_, undefined) in symbols.items():
        for symbol in sorted(undefined):
            other = owner.get(symbol)
            if other and other != folder and other not in MAY_USE[folder]:
                problems.append(f"{folder} calls {symbol} of {other}, which the table forbids")
    report(problems)


def test_libraries_are_called_only_by_their_owners(symbols):
    problems = []
    for folder, (_, undefined) in symbols.items():
        for library, (_, prefix, owners) in LIBRARIES.items():
            if prefix and folder not in owners | {"cmd"}:
                problems += [f"{folder} calls {s}: {library} belongs to {sorted(owners)}"
                             for s in sorted(undefined) if re.match(prefix, s)]
    report(problems)


def test_core_is_pure(symbols):
    _, undefined = symbols["core"]
    report([f"core calls {s}: time, memory and input come from the caller"
            for s in sorted(undefined & IMPURE)])


def test_only_base_reads_a_clock(symbols):
    report([f"{folder} calls clock_gettime: use base/clock.h"
            for folder, (_, undefined) in symbols.items()
            if folder != "base" and "clock_gettime" in undefined])


def test_the_agent_links_nothing_but_its_list():
    agent = BUILD / "src/cmd/gpuscale-agent"
    out = subprocess.run(["readelf", "-d", str(agent)], capture_output=True, text=True,
                         check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", out))
    assert "libuv.so.1" in needed
    sanitizers = {n for n in needed if re.match(r"lib(a|ub|t)san|libgcc_s|librt|libdl|libpthread|libresolv|libstdc", n)}
    extra = needed - AGENT_NEEDED - sanitizers
    assert not extra, f"gpuscale-agent links {sorted(extra)}; it may link {sorted(AGENT_NEEDED)}"


def test_the_architecture_page_has_this_table():
    page = (ROOT / "docs/architecture.md").read_text()
    for folder in {folder_of(p) for p in sources("src")}:
        assert re.search(rf"^\| `{folder}` \|", page, re.M), (
            f"docs/architecture.md has no row for src/{folder}")


def test_every_source_file_opens_with_its_licence():
    problems = []
    for path in tracked("src", "tests", "scripts", "proto", "web", "Makefile", "meson.build"):
        if "vendor" in path.parts:
            continue
        if path.suffix in (".c", ".h", ".py", ".go", ".sh", ".proto", ".build", ".js", ".mjs", ".css") or path.name == "Makefile":
            head = path.read_text(errors="replace")[:200]
            if "SPDX-License-Identifier: Apache-2.0" not in head:
                problems.append(f"{relative(path)}: first line must be the SPDX line (Apache-2.0)")
    report(problems)


def test_every_source_file_says_its_purpose():
    report([f"{relative(p)}: after the SPDX line, 1 to 12 lines of comment say what the file is for"
            for p in sources("src")
            if not re.match(r"// SPDX[^\n]*\n(/\*|//)", p.read_text())])


def test_headers_guard_with_pragma_once():
    report([f"{relative(p)}: #pragma once" for p in sources("src", "tests")
            if p.suffix == ".h" and "#pragma once" not in p.read_text()])


def strip_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"",
                  lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)


def test_banned_calls():
    problems = []
    for path in sources("src", "tests"):
        if path.name == "banned.h":
            continue
        for n, line in enumerate(strip_comments(path.read_text()).splitlines(), 1):
            for name, instead in BANNED.items():
                if re.search(rf"(?<![\w.>]){name}\s*\(", line):
                    problems.append(f"{relative(path)}:{n}: {name} is banned, use {instead}")
    report(problems)


def test_what_is_cleaned_up_is_there_before_a_return():
    """cleanup runs at every return: on what no statement has begun it frees whatever the stack held."""
    problems = []
    for path in sources("src", "tests"):
        lines = strip_comments(path.read_text()).splitlines()
        for n, line in enumerate(lines):
            declared = re.match(r" +CLEANUP_\w+ (?:const )?(?:struct )?\w+ ([^=]+);$", line)
            for name in re.split(r", *", declared[1]) if declared else ():
                begun = re.compile(r"&NAME\b|\bNAME = ".replace("NAME", name.lstrip("*")))
                if not begun.search(next(x for x in lines[n + 1:] if begun.search(x) or re.search(r"\breturn\b|^}", x))):
                    problems.append(f"{relative(path)}:{n + 1}: {name} may be cleaned up before it is begun")
    report(problems)


def test_files_are_short():
    lengths = {p: len(p.read_text().splitlines()) for p in sources("src")}
    report([f"{relative(p)}: {n} lines, at most 800: split it" for p, n in lengths.items() if n > 800])
    median = statistics.median(n for p, n in lengths.items() if p.suffix == ".c")
    assert median < 250, f"the median .c file has {median} lines"


def functions(path):
    """(name line, length) of each function: from a `{` in column 0 or at a line's end to `}`."""
    lines = path.read_text().splitlines()
    start = None
    for i, line in enumerate(lines):
        if start is None and re.match(r"^[A-Za-z_].*\)\s*\{$", line):
            start = i
        elif start is None and line == "{":
            start = i
        elif (start is None and line.endswith(") {") and not line.startswith("#")
              and i and re.match(r"^[A-Za-z_]", lines[i - 1])):
            start = i - 1
        elif start is not None and line == "}":
            yield start, i - start + 1, lines[max(0, start - 3):start]
            start = None


def test_functions_are_short():
    problems = []
    for path in sources("src"):
        for start, length, before in functions(path):
            if length > 70 and not any("long:" in b for b in before):
                problems.append(f"{relative(path)}:{start + 1}: {length} lines, at most 70 (or a line"
                                " `// long: REASON` above it)")
    report(problems)


def test_nothing_is_left_for_later():
    mark = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")
    problems = []
    for path in tracked("src", "tests", "proto", "web/*.*", "web/app", "docs", "README.md"):
        if path.suffix in (".c", ".h", ".py", ".go", ".sh", ".md", ".proto", ".js", ".mjs", ".css", ".html"):
            for n, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if mark.search(line):
                    problems.append(f"{relative(path)}:{n}: {line.strip()[:80]}")
    report(problems)


def test_c_files_are_formatted():
    files = [str(p) for p in sources("src", "tests")]
    out = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=ROOT,
                         capture_output=True, text=True)
    assert out.returncode == 0, "run `make format`:\n" + "\n".join(out.stderr.splitlines()[:20])


def test_unit_tests_mirror_the_sources():
    """tests/unit/FOLDER/test_FILE.c belongs to src/FOLDER/FILE.c (core_x is core/x)."""
    problems = []
    for path in tracked("tests/unit"):
        m = re.match(r"tests/unit/(\w+)/test_(\w+)\.c$", str(relative(path)))
        if not m:
            continue
        folder = m.group(1).replace("core_", "core/")
        names = [p.stem for p in (ROOT / "src" / folder).glob("*.[ch]")]
        if not any(m.group(2) == n or m.group(2).startswith(n + "_") for n in names):
            problems.append(f"{relative(path)}: no src/{folder}/{m.group(2)}.c")
    report(problems)


def test_limits_stand_in_one_header():
    problems = []
    for path in sources("src"):
        if relative(path) == pathlib.Path("src/base/limits.h"):
            continue
        for n, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"\s*(#\s*define\s+LIMIT_|LIMIT_\w+\s*=)", line):
                problems.append(f"{relative(path)}:{n}: limits belong into src/base/limits.h")
    report(problems)


def test_vendored_files_are_as_published():
    """web/vendor: each file is listed in its folder's SHA256SUMS (those of the npm package's files) and is that."""
    problems = []
    for sums in tracked("web/vendor/*/SHA256SUMS"):
        listed = dict(reversed(line.split()) for line in sums.read_text().splitlines())
        for path in tracked(f"{relative(sums.parent)}/*"):
            if path != sums and hashlib.sha256(path.read_bytes()).hexdigest() != listed.pop(path.name, None):
                problems.append(f"{relative(path)}: not what SHA256SUMS says: vendored files stay unmodified")
        problems += [f"{relative(sums)}: no file {name}" for name in listed]
    report(problems)
    assert "LICENSE" in [p.name for p in tracked("web/vendor/uplot/*")]
