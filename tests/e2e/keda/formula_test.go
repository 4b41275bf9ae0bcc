// SPDX-License-Identifier: Apache-2.0

// scalingModifiers.formula: KEDA compiles and runs it (expr-lang v1.17.8), core/hpa does the same.
package keda

import (
	"fmt"
	"math"
	"math/rand"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scaling/cache"
	"github.com/kedacore/keda/v2/pkg/scaling/modifiers"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/metrics/pkg/apis/external_metrics"
)

var formulaNames = []string{"gpu", "queue", "kv"}

const (
	formulaFallback  = 7 // replicas, at target 1: what a nil becomes
	codeUnsupported  = "-11"
	codeLimit        = "-3"
	formulaCases     = 20000
	formulaSoupCases = 20000
)

// kedaFormula gives KEDA's composite metric in thousandths: accepted, value, ok.
func kedaFormula(text string, milli []int64, missing []bool) (bool, int64, bool) {
	so := &kedav1alpha1.ScaledObject{}
	so.Spec.Advanced = &kedav1alpha1.AdvancedConfig{
		ScalingModifiers: kedav1alpha1.ScalingModifiers{Formula: text, Target: "1"},
	}
	so.Spec.Fallback = &kedav1alpha1.Fallback{Replicas: formulaFallback}
	var metrics []external_metrics.ExternalMetricValue
	pairs := map[string]string{}
	for i, name := range formulaNames {
		so.Spec.Triggers = append(so.Spec.Triggers, kedav1alpha1.ScaleTriggers{Name: name, Type: "external"})
		metric := fmt.Sprintf("s%d-m", i)
		pairs[metric] = name
		if !missing[i] {
			metrics = append(metrics, external_metrics.ExternalMetricValue{
				MetricName: metric, Value: *resource.NewMilliQuantity(milli[i], resource.DecimalSI),
			})
		}
	}
	program, err := kedav1alpha1.ValidateAndCompileScalingModifiers(so)
	if err != nil {
		return false, 0, false
	}
	got := modifiers.HandleScalingModifiers(so, metrics, pairs, false, nil,
		&cache.ScalersCache{CompiledFormula: program}, logr.Discard())
	if len(got) != 1 {
		return true, 0, false
	}
	return true, got[0].Value.MilliValue(), true
}

type formulaTally struct{ accepted, refused, unsupported, failed, powers int }

func (n *formulaTally) compare(t *testing.T, l *logic, r *rand.Rand, text string) {
	t.Helper()
	milli := make([]int64, len(formulaNames))
	missing := make([]bool, len(formulaNames))
	values := make([]string, len(formulaNames))
	for i := range milli {
		milli[i] = []int64{0, 1000, int64(r.Intn(200000)), int64(r.Intn(5)) * 500}[r.Intn(4)]
		missing[i] = r.Intn(12) == 0
		values[i] = "nil"
		if !missing[i] {
			q := resource.NewMilliQuantity(milli[i], resource.DecimalSI)
			values[i] = strconv.FormatFloat(q.AsApproximateFloat64(), 'g', 17, 64)
		}
	}
	ours := l.ask("formula names=%s values=%s text=%s", strings.Join(formulaNames, ","), strings.Join(values, ","), text)
	word := strings.SplitN(ours, " ", 3)
	if word[0] == "refused" && (word[1] == codeUnsupported || word[1] == codeLimit) {
		n.unsupported++
		return
	}
	accepted, want, ok := kedaFormula(text, milli, missing)
	if accepted != (word[0] != "refused") {
		t.Errorf("%s: KEDA accepts it: %v; ours: %s", text, accepted, ours)
		return
	}
	if !accepted {
		n.refused++
		return
	}
	n.accepted++
	got, gotOK := int64(0), true
	switch word[0] {
	case "nil":
		got = formulaFallback * 1000
	case "value":
		x, err := strconv.ParseFloat(word[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		got = int64(x * 1000)
	default:
		gotOK = false
		n.failed++
	}
	// Go's power is its own, C's is the C library's: they differ in the last bits, by one whole where
	// ceil() or the cut to thousandths comes after, by anything where % does.
	if strings.Contains(text, "**") || strings.Contains(text, "^") {
		n.powers++
		off := math.Abs(float64(got - want))
		if gotOK == ok && (strings.Contains(text, "%") || off <= 1000 || off <= 1e-12*math.Abs(float64(want))) {
			return
		}
	}
	if gotOK != ok || got != want {
		t.Errorf("%s with %v: KEDA %d (%v), ours %s", text, values, want, ok, ours)
	}
}

// writer makes formulas of the supported grammar, now and then with a wrong type inside.
type writer struct {
	r       *rand.Rand
	element bool // inside a predicate: # has a meaning
}

func (w writer) pick(options ...string) string { return options[w.r.Intn(len(options))] }

func (w writer) list(depth int) string {
	items := make([]string, w.r.Intn(4))
	for i := range items {
		items[i] = w.number(depth)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func (w writer) number(depth int) string {
	if w.r.Intn(60) == 0 {
		return w.boolean(depth)
	}
	if depth <= 0 {
		if w.element && w.r.Intn(2) == 0 {
			return "#"
		}
		return w.pick("gpu", "queue", "kv", "gpu", "queue", "1", "2.5", "0", "10", "1e2", "3", "nil")
	}
	d := depth - 1
	switch w.r.Intn(16) {
	case 0, 1, 2, 3:
		return w.number(d) + w.pick(" + ", " - ", " * ", " / ", "*", "/", " + ", "**", "^") + w.number(d)
	case 4:
		return "int(" + w.number(d) + ") % " + w.pick("2", "int("+w.number(d)+")")
	case 5:
		return w.pick("-", "+") + w.number(d)
	case 6, 7:
		return w.boolean(d) + " ? " + w.number(d) + " : " + w.number(d)
	case 8:
		return "if " + w.boolean(d) + " { " + w.number(d) + " } else { " + w.number(d) + " }"
	case 9:
		return fmt.Sprintf(w.pick("(%s ?? %s)", "((%s) ?? (%s))", "%s ?? %s"), w.number(d), w.number(d))
	case 10, 11:
		return "(" + w.number(d) + ")"
	case 12:
		return w.pick("float", "int", "abs", "ceil", "floor", "round") + "(" + w.number(d) + ")"
	case 13:
		args := []string{w.number(d)}
		for range w.r.Intn(3) {
			args = append(args, w.number(d))
		}
		if w.r.Intn(3) == 0 {
			args[w.r.Intn(len(args))] = w.list(d)
		}
		return w.pick("min", "max", "mean") + "(" + strings.Join(args, ", ") + ")"
	case 14:
		return "sum(" + w.list(d) + ")"
	default:
		inner := writer{w.r, true}
		if w.r.Intn(2) == 0 {
			return "sum(" + w.list(d) + ", {" + inner.number(d) + "})"
		}
		return "count(" + w.list(d) + ", {" + inner.boolean(d) + "})"
	}
}

func (w writer) boolean(depth int) string {
	if w.r.Intn(60) == 0 {
		return w.number(depth)
	}
	d := depth - 1
	if depth <= 0 {
		return w.pick("true", "false", "gpu > 2", "queue <= kv", "1 == 1.0", "gpu != nil")
	}
	switch w.r.Intn(9) {
	case 0, 1, 2:
		return w.number(d) + w.pick(" < ", " <= ", " > ", ">=", " == ", " != ") + w.number(d)
	case 3:
		return w.number(d) + w.pick(" < ", " <= ") + w.number(d) + w.pick(" < ", " >= ") + w.number(d)
	case 4, 5:
		return w.boolean(d) + w.pick(" and ", " or ", " && ", " || ") + w.boolean(d)
	case 6:
		return w.pick("not ", "!") + "(" + w.boolean(d) + ")"
	case 7:
		return "(" + w.boolean(d) + ")"
	default:
		inner := writer{w.r, true}
		return w.pick("any", "all", "none", "one") + "(" + w.list(d) + ", {" + inner.boolean(d) + "})"
	}
}

func TestFormulasGiveWhatKEDAGives(t *testing.T) {
	l, r := startLogic(t), seeded(t)
	var n formulaTally
	for range formulaCases {
		n.compare(t, l, r, writer{r, false}.number(1+r.Intn(4)))
		if t.Failed() {
			break
		}
	}
	t.Logf("%d accepted (%d of them fail when run, %d have a power), %d refused by both, %d beyond the subset",
		n.accepted, n.failed, n.powers, n.refused, n.unsupported)
	if n.accepted < formulaCases/20 || n.refused < formulaCases/20 {
		t.Errorf("too few of one kind: the comparison says little")
	}
}

func TestTokenSoupIsRefusedAsKEDADoes(t *testing.T) {
	l, r := startLogic(t), seeded(t)
	tokens := []string{"gpu", "queue", "kv", "1", "2.5", "0x1f", "1_0", ".5", "1e3", "true", "false", "nil", "+", "-", "*",
		"/", "%", "**", "^", "(", ")", "[", "]", "{", "}", ",", "?", ":", "??", "and", "or", "not", "!", "&&", "||", "<", "<=",
		">", ">=", "==", "!=", "if", "else", "min(", "max(", "count(", "any(", "sum(", "float(", "int(", "abs(", "#",
		"/* c */", "unknown", "&", "=", "=>", "1.", "0b2", "08", "1e"}
	var n formulaTally
	for range formulaSoupCases {
		var text []string
		for range 1 + r.Intn(8) {
			text = append(text, tokens[r.Intn(len(tokens))])
		}
		n.compare(t, l, r, strings.Join(text, []string{" ", ""}[r.Intn(2)]))
		if t.Failed() {
			break
		}
	}
	t.Logf("%d accepted, %d refused by both, %d beyond the subset", n.accepted, n.refused, n.unsupported)
}

func TestFormulasOfKEDAsDocumentation(t *testing.T) {
	l, r := startLogic(t), seeded(t)
	var n formulaTally
	for _, text := range []string{
		"(gpu + queue)/2",
		"gpu > 2 ? gpu + queue : 1",
		"count([gpu,queue,kv],{#>1}) > 1 ? 5 : 0",
		"if gpu > 1 { queue } else { kv }",
		"gpu ?? queue ?? 5",
		"gpu > 80 && queue > 10 ? max(gpu/80, queue/10) : (gpu < 40 && queue < 5 ? max(gpu/80, queue/10) : 1)",
		"sum([gpu, queue, kv])", "max([gpu, queue])", "min(gpu/80, queue/10)", "float(gpu)",
	} {
		for range 50 {
			n.compare(t, l, r, text)
		}
	}
	if n.unsupported != 0 || n.refused != 0 {
		t.Errorf("%d unsupported, %d refused", n.unsupported, n.refused)
	}
}
