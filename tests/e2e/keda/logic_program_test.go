// SPDX-License-Identifier: Apache-2.0

// Our side of the comparison: build/tests/e2e/keda/logic/keda_logic, one line in, one line out.
package keda

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

type logic struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startLogic(t *testing.T) *logic {
	t.Helper()
	build := os.Getenv("GPUSCALE_BUILD")
	if build == "" {
		t.Fatal("GPUSCALE_BUILD must name the build folder")
	}
	cmd := exec.Command(filepath.Join(build, "tests", "e2e", "keda", "logic", "keda_logic"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("keda_logic: %v", err)
		}
	})
	return &logic{t, in, bufio.NewReader(out)}
}

func (l *logic) ask(format string, args ...any) string {
	l.t.Helper()
	if _, err := fmt.Fprintf(l.in, format+"\n", args...); err != nil {
		l.t.Fatal(err)
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		l.t.Fatalf("keda_logic ended: %v after %s", err, fmt.Sprintf(format, args...))
	}
	return strings.TrimSuffix(line, "\n")
}

// seeded gives random numbers that GPUSCALE_SEED repeats.
func seeded(t *testing.T) *rand.Rand {
	seed := int64(20261123)
	if s := os.Getenv("GPUSCALE_SEED"); s != "" {
		n, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			t.Fatalf("GPUSCALE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewSource(seed))
}
