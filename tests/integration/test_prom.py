# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text parser beside a second opinion, the parser of Prometheus' Python client, on the pages of
real servers and on random ones. (The stricter judge, Prometheus' own Go parser, is in tests/e2e/textparse.)

Where the Python client differs by intent: it appends _total to the samples of a counter whose TYPE line lacks
it, and it lets pass nearly everything that is malformed; so only well-formed pages are compared."""

import json
import math
import os
import random
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

import harness

PROM_DUMP = harness.BUILD / "tests" / "integration" / "prom_dump"
PROM_PAGE = harness.BUILD / "tests" / "integration" / "prom_page"
SEED = int(os.environ.get("GPUSCALE_SEED", "20261124"))


def ours(page, step=65536):
    """[(type, name, labels, value, timestamp)] or the error message."""
    done = subprocess.run([str(PROM_DUMP), str(step)], input=page.encode(), capture_output=True, timeout=60)
    if done.returncode != 0:
        return done.stderr.decode().strip()
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return [(kind, name, labels, float.fromhex(value), stamp) for kind, name, labels, value, stamp in rows]


def theirs(page):
    return [(family.type, s.name, s.labels, s.value, s.timestamp)
            for family in text_string_to_metric_families(page) for s in family.samples]


def comparable(kind, name, labels, value, stamp, counters_renamed):
    kind = "unknown" if kind == "untyped" else kind
    if counters_renamed and kind == "counter" and not name.endswith("_total"):
        name += "_total"
    stamp = None if stamp is None else round(float(stamp), 3)
    return kind, name, tuple(sorted(labels.items())), "nan" if math.isnan(value) else value, stamp


def compare(page, what):
    a = ours(page)
    assert not isinstance(a, str), f"{what}: {a}"
    mine = [comparable(k, n, l, v, None if t is None else t / 1000, True) for k, n, l, v, t in a]
    other = [comparable(*s, False) for s in theirs(page)]
    # The Python client forgets the type of a family whose samples another metric's interrupt.
    assert [m[1:] for m in mine] == [o[1:] for o in other], what
    for m, o in zip(mine, other):
        assert m[0] == o[0] or "unknown" in (m[0], o[0]), (what, m, o)


def sample_pages():
    return sorted((harness.SHARED_DATA / "metrics-samples").glob("*.prom"))


def test_pages_of_real_servers_read_as_the_python_client_reads_them():
    pages = sample_pages()
    if not pages:
        pytest.skip(f"no sample pages in {harness.SHARED_DATA / 'metrics-samples'}")
    for path in pages:
        compare(path.read_text(), path.name)


class Pages:
    """Well-formed pages of every shape that the format allows and both parsers know."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def name(self, first, rest):
        return self.r.choice(first) + "".join(self.r.choice(rest) for _ in range(self.r.randrange(0, 30)))

    def metric(self):
        letters = "abcXYZ_:"
        return self.name(letters, letters + "0123456789")

    def label_value(self):
        text = "".join(self.r.choice('ab0 ,={}#"\\\n\u00e9\u20ac\U0001f600') for _ in range(self.r.randrange(0, 24)))
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    def labels(self):
        names = {self.name("abc_", "abc_09") for _ in range(self.r.choice((0, 0, 1, 2, 3, 9)))}
        if not names:
            return self.r.choice(("", "", "{}"))
        gap = self.r.choice(("", "", " "))
        inside = f",{gap}".join(f'{n}{gap}={gap}"{self.label_value()}"' for n in self.r.sample(sorted(names), len(names)))
        return "{" + inside + self.r.choice(("", "", ",")) + "}"

    def number(self):
        r = self.r
        return r.choice((
            lambda: str(r.randrange(0, 10 ** r.randrange(1, 25))),
            lambda: f"{r.randrange(0, 10 ** 6)}.{r.randrange(0, 10 ** 9)}",
            lambda: repr(r.uniform(-1e9, 1e9)),
            lambda: "%.*e" % (r.randrange(0, 20), r.uniform(-1, 1) * 10.0 ** r.randrange(-300, 300)),
            lambda: r.choice(("NaN", "+Inf", "-Inf", "inf", "nan", "0", "-0", "5.32e+011", "1.", ".5", "+7", "1E3")),
        ))()

    def page(self):
        r, lines = self.r, []
        for _ in range(r.randrange(0, 12)):
            base, kind = self.metric(), r.choice(("counter", "gauge", "histogram", "summary", "untyped"))
            if r.random() < 0.6:
                lines.append(f"# HELP {base} some \\\\ text\\n \u00e9")
            if r.random() < 0.8:
                lines.append(f"# TYPE {base} {kind}")
            suffixes = {"histogram": ["_bucket", "_sum", "_count"], "summary": ["", "_sum", "_count"]}.get(kind, [""])
            for _ in range(r.randrange(0, 8)):
                stamp = f" {r.randrange(0, 2 * 10 ** 12)}" if r.random() < 0.2 else ""
                lines.append(f"{base}{r.choice(suffixes)}{self.labels()} {self.number()}{stamp}")
            if r.random() < 0.3:
                lines.append(r.choice(("", "# a remark", "#", "# EOF", "# UNIT x seconds")))
        return "".join(line + "\n" for line in lines)


def test_random_pages_read_as_the_python_client_reads_them():
    print(f"seed {SEED}")
    pages = Pages(SEED)
    for i in range(150):
        page = pages.page()
        compare(page, f"page {i} of seed {SEED}:\n{page}")


def test_the_pieces_of_a_page_do_not_matter():
    print(f"seed {SEED}")
    pages = Pages(SEED + 1)
    for i in range(15):
        page = pages.page()
        whole = repr(ours(page))
        for step in (1, 2, 3, 7, 64, 1000):
            assert repr(ours(page, step)) == whole, f"page {i} of seed {SEED + 1}, pieces of {step}:\n{page}"


def written(texts):
    return subprocess.run([str(PROM_PAGE), *texts], check=True, capture_output=True, timeout=60).stdout


def test_what_the_encoder_writes_all_three_parsers_read_the_same():
    print(f"seed {SEED}")
    r = random.Random(SEED + 2)
    texts = ["".join(r.choice('ab ,={}#"\\\n\t\u00e9\U0001f600') for _ in range(r.randrange(0, 20))) for _ in range(200)]
    page = written(texts).decode()
    compare(page, "the encoder's page")
    values = [s for s in ours(page) if s[1] == "page_values"]
    known = [(i, t) for i, t in enumerate(texts, 1) if i % 9 != 8]  # each ninth value is NaN: not written
    assert [(int(l["n"]), l["text"]) for _, _, l, _, _ in values] == known
    assert "page_unknown" not in page
    promtool = shutil.which("promtool")
    assert promtool, "promtool is in Debian's prometheus (make deps-test)"
    done = subprocess.run([promtool, "check", "metrics"], input=page.encode(), capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()


def test_bytes_that_are_no_text_are_written_as_replacement_characters():
    page = written([b"a\xffb", b"\xc3", b"\xed\xa0\x80"]).decode()
    assert [s[2]["text"] for s in ours(page) if s[1] == "page_values"] == ["a\ufffdb", "\ufffd", "\ufffd" * 3]


@pytest.mark.parametrize("page, fault", [
    ("<html><body>502 Bad Gateway</body></html>\n", "not_text: line 1: this is HTML"),
    ('{"detail":"Not Found"}', "not_text: line 1: this is JSON"),
    ("a 1\nb{c=\"d} 2\n", "syntax: line 2, column 10: expected '\"'"),
    ("a 1\n" + "#" * (1 << 20) + "\n", "limit: line 2 is longer than 1048576 bytes (LIMIT_METRICS_LINE_BYTES)"),
    ("# " + "x" * 1000 + "\n", None),
], ids=["html", "json", "open quote", "long line", "comment"])
def test_what_is_no_page_is_said_to_be_what_it_is(page, fault):
    got = ours(page, 777)
    assert got == [] if fault is None else got.startswith(fault), got
