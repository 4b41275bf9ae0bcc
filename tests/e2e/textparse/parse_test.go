// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Prometheus' own parser is the judge: what gpuscale's parser accepts, Prometheus accepts and reads the
// same; where gpuscale is stricter, it is so for a reason of this list.
var stricter = []string{
	"',' or '}'",                    // a comma between labels
	"not in the series already",     // a label twice (Prometheus drops such a series later)
	"neither empty nor __name__",    // the same
	"that is not empty",             // {""}
	"n, '\"' or '\\' after '\\'",    // escapes that the format does not have
	"at the end of the quoted text", // a newline in a label value
	"a blank after the metric name", // "# HELP m{x"
	"expected text, got NUL",        // Prometheus skips it in some places
	"expected UTF-8",                // in remarks and quoted names too
	"binary (byte",                  // the same, in the first line
	"stands already",                // m{"n"} 1
	"expected '{' or a blank after the metric name, got '\"'",
}

type sample struct {
	name   string
	labels map[string]string
	value  string
	stamp  string
}

func (s sample) String() string {
	keys := make([]string, 0, len(s.labels))
	for k := range s.labels {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := s.name
	for _, k := range keys {
		out += fmt.Sprintf("[%q=%q]", k, s.labels[k])
	}
	return out + " " + s.value + " " + s.stamp
}

func number(v float64) string {
	if math.IsNaN(v) {
		return "nan"
	}
	return strconv.FormatUint(math.Float64bits(v), 16)
}

func prometheus(page []byte) ([]string, error) {
	p := textparse.NewPromParser(append([]byte(nil), page...), labels.NewSymbolTable(), false)
	var out []string
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, ts, v := p.Series()
		s := sample{labels: map[string]string{}, value: number(v)}
		if ts != nil {
			s.stamp = fmt.Sprint(*ts)
		}
		var l labels.Labels
		p.Labels(&l)
		l.Range(func(l labels.Label) {
			if l.Name == labels.MetricName {
				s.name = strings.TrimLeft(l.Value, " \t") // blanks before the name stay in it there
			} else {
				s.labels[l.Name] = l.Value
			}
		})
		out = append(out, s.String())
	}
}

func ours(t *testing.T, page []byte) ([]string, string) {
	t.Helper()
	build := os.Getenv("GPUSCALE_BUILD")
	cmd := exec.Command(filepath.Join(build, "tests", "integration", "prom_dump"))
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(page), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if stderr.Len() == 0 {
			t.Fatalf("prom_dump: %v on %q", err, page)
		}
		return nil, stderr.String()
	}
	var out []string
	for _, line := range strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n") {
		if line == "" {
			continue
		}
		var row []any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		s := sample{name: strings.TrimLeft(row[1].(string), " \t"), labels: map[string]string{}}
		for k, v := range row[2].(map[string]any) {
			s.labels[k] = v.(string)
		}
		f, err := strconv.ParseFloat(row[3].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		s.value = number(f)
		if row[4] != nil {
			s.stamp = strconv.FormatInt(int64(row[4].(float64)), 10)
		}
		out = append(out, s.String())
	}
	return out, ""
}

func check(t *testing.T, page []byte) {
	t.Helper()
	mine, fault := ours(t, page)
	theirs, err := prometheus(page)
	switch {
	case fault != "" && err == nil:
		for _, reason := range stricter {
			if strings.Contains(fault, reason) {
				return
			}
		}
		t.Fatalf("Prometheus reads what we refuse: %s\npage %q", fault, page)
	case fault == "" && err != nil:
		if bytes.Contains(page, []byte(" # ")) && strings.Contains(err.Error(), "got \"#") {
			return // an exemplar
		}
		t.Fatalf("Prometheus refuses what we read: %v\npage %q", err, page)
	case fault == "":
		if fmt.Sprint(mine) != fmt.Sprint(theirs) {
			t.Fatalf("read otherwise\nours   %q\ntheirs %q\npage %q", mine, theirs, page)
		}
	}
}

var seeds = []string{
	"# HELP a:b_total Text with \\\\ and \\n.\n# TYPE a:b_total counter\na:b_total{x=\"1\",y=\"q\\\"\\\\\\n\",} 1.5e+09 1700000000000\n\n",
	"m{engine=\"0\",model_name=\"Qwen/Qwen3\"} 37.0\nm{engine=\"1\",model_name=\"Qwen/Qwen3\"} 38.0\nm{engine=\"1\",model_name=\"Qwen\"} 3\n",
	"# TYPE h untyped\nh_sum 2\nh_count 3\nh_bucket{a=\"b\"} 3\n  u\t+Inf\nnan NaN 12\n",
	"{\"quoted.name\",\"label.x\"=\"1\",y=\"\u00e9\"} 17682643398898673e-7\n# EOF\n# UNIT x y\n",
	"x 1\nx{} 2\nx { a = \"b\" , c=\"d\" } .5 6\n#\n#x\n# \n \n\t\ny 1.",
}

var pieces = []string{"{", "}", "\"", "\\", "\\n", "\\\"", ",", "=", " ", "\t", "\n", "#", "# HELP ", "# TYPE ", "gauge",
	"a", "_", ":", "0", "1", ".", "e", "+", "-", "Inf", "NaN", "nan", "1e999", "0x1p3", "1_0", "\u00e9", "\xff", "\x00", "le", "\r",
	"m{a=\"b\"} 1\n", "a=\"b\"", "__name__", "12345678901234567890123"}

func mutate(r *rand.Rand, page []byte) []byte {
	out := append([]byte(nil), page...)
	for n := 1 + r.Intn(3); n > 0; n-- {
		at := r.Intn(len(out) + 1)
		switch r.Intn(4) {
		case 0: // insert
			out = append(out[:at], append([]byte(pieces[r.Intn(len(pieces))]), out[at:]...)...)
		case 1: // delete
			end := min(len(out), at+1+r.Intn(4))
			out = append(out[:at], out[end:]...)
		case 2: // overwrite
			if at < len(out) {
				p := pieces[r.Intn(len(pieces))]
				out = append(out[:at], append([]byte(p), out[min(len(out), at+len(p)):]...)...)
			}
		default: // repeat a part
			end := min(len(out), at+r.Intn(12))
			out = append(out[:end], append(append([]byte(nil), out[at:end]...), out[end:]...)...)
		}
	}
	return out
}

func TestPagesOfRealServersReadAsPrometheusReadsThem(t *testing.T) {
	files, _ := filepath.Glob("../../../../shared/data/metrics-samples/*.prom")
	if len(files) == 0 {
		t.Skip("no sample pages in ../shared/data/metrics-samples")
	}
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// le and quantile are compared as written: the type is taken away.
		page = bytes.ReplaceAll(page, []byte(" histogram\n"), []byte(" untyped\n"))
		check(t, bytes.ReplaceAll(page, []byte(" summary\n"), []byte(" untyped\n")))
	}
}

func TestDamagedPagesReadAsPrometheusReadsThem(t *testing.T) {
	seed := int64(20261124)
	if s := os.Getenv("GPUSCALE_SEED"); s != "" {
		seed, _ = strconv.ParseInt(s, 10, 64)
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	rounds := 3000
	if s := os.Getenv("GPUSCALE_ROUNDS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	}
	for i := 0; i < rounds; i++ {
		page := []byte(seeds[r.Intn(len(seeds))])
		for n := r.Intn(3); n >= 0; n-- {
			page = mutate(r, page)
		}
		check(t, page)
	}
}
