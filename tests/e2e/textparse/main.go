// SPDX-License-Identifier: Apache-2.0

// Parses a Prometheus text page for a while with Prometheus' own parser and prints bytes per second of CPU
// time: `textparse PAGE SECONDS` -> "next BYTES_PER_S" (Next and Series, labels left undecoded, as a scrape of
// known series does) and "labels BYTES_PER_S" (with the labels of every sample).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func parse(page []byte, st *labels.SymbolTable, decode bool) (samples int) {
	p := textparse.NewPromParser(page, st, false)
	var l labels.Labels
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return samples
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if entry == textparse.EntrySeries {
			p.Series()
			if decode {
				p.Labels(&l)
			}
			samples++
		}
	}
}

func main() {
	page, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if err != nil {
		panic(err)
	}
	for _, mode := range []string{"next", "labels"} {
		best := 0.0
		for round := 0; round < 5; round++ {
			st := labels.NewSymbolTable()
			start, bytes := cpu(), 0
			for cpu()-start < seconds/5 {
				for i := 0; i < 20; i++ {
					parse(page, st, mode == "labels")
					bytes += len(page)
				}
			}
			best = max(best, float64(bytes)/(cpu()-start))
		}
		fmt.Printf("%s %.0f\n", mode, best)
	}
	fmt.Printf("samples %d\n", parse(page, labels.NewSymbolTable(), true))
}
