// SPDX-License-Identifier: Apache-2.0

package hpa

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/features"
)

func TestMain(m *testing.M) {
	klog.SetLogger(klog.New(nil)) // failures speak for themselves
	os.Exit(m.Run())
}

func gpuscale(t *testing.T) string {
	build := os.Getenv("GPUSCALE_BUILD")
	if build == "" {
		t.Fatal("GPUSCALE_BUILD must name the build folder")
	}
	return filepath.Join(build, "src/cmd/gpuscale")
}

func seed(t *testing.T) uint64 {
	seed := uint64(20261130)
	if s := os.Getenv("GPUSCALE_SEED"); s != "" {
		parsed, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = parsed
	}
	t.Logf("GPUSCALE_SEED=%d", seed)
	return seed
}

func count(t *testing.T, name string, usual int) int {
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return usual
}

// Said is what `gpuscale hpa --json` says of a case.
type Said struct {
	DesiredReplicas *int32
	Metrics         []struct {
		Name, Type string
		Proposal   *int32
		Current    *struct {
			AverageUtilization  *int32
			Value, AverageValue string
		}
		Error *string
	}
	LimitedBy  *string
	Conditions []struct{ Type, Status, Reason, Message string }
	Rescale    bool
	Reason     string
	Error      *string
	History    History
	Assumed    []string
	Invalid    string
}

// Verb is one `gpuscale hpa --json`, fed over its standard input.
type Verb struct {
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

func start(t *testing.T) *Verb {
	cmd := exec.Command(gpuscale(t), "hpa", "--json")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &Verb{in: in, out: bufio.NewReaderSize(out, 1<<20), cmd: cmd}
}

func (v *Verb) ask(t *testing.T, line []byte) Said {
	if _, err := v.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("the program takes no more: %v", err)
	}
	answer, err := v.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the program answers no more: %v\n%s", err, line)
	}
	var said Said
	if err := json.Unmarshal(answer, &said); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, answer)
	}
	return said
}

func (v *Verb) stop(t *testing.T) {
	_ = v.in.Close()
	if err := v.cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

// The value that status.currentMetrics holds, as the answer writes it.
func currentOf(s autoscalingv2.MetricStatus) (v *autoscalingv2.MetricValueStatus) {
	switch {
	case s.Resource != nil:
		return &s.Resource.Current
	case s.ContainerResource != nil:
		return &s.ContainerResource.Current
	case s.Pods != nil:
		return &s.Pods.Current
	case s.Object != nil:
		return &s.Object.Current
	case s.External != nil:
		return &s.External.Current
	}
	return nil
}

type difference struct{ what, kubernetes, gpuscale string }

// Which of several pods without a request an error names depends on the order of Go's maps.
func anyPod(text string, all []string) string {
	for _, e := range all {
		text = strings.ReplaceAll(text, e, "<no request>")
	}
	return text
}

func sameHistory(a, b History) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) < 0.5 }
	if len(a.Recommendations) != len(b.Recommendations) || len(a.ScaleUps) != len(b.ScaleUps) || len(a.ScaleDowns) != len(b.ScaleDowns) {
		return false
	}
	for i := range a.Recommendations {
		if a.Recommendations[i].Replicas != b.Recommendations[i].Replicas || !near(a.Recommendations[i].SecondsAgo, b.Recommendations[i].SecondsAgo) {
			return false
		}
	}
	for _, pair := range [][2][]Event{{a.ScaleUps, b.ScaleUps}, {a.ScaleDowns, b.ScaleDowns}} {
		for i := range pair[0] {
			if pair[0][i].Change != pair[1][i].Change || !near(pair[0][i].SecondsAgo, pair[1][i].SecondsAgo) {
				return false
			}
		}
	}
	return true
}

func compareMetrics(k Answer, s Said, add func(what string, k, g any)) {
	if k.Status.CurrentMetrics == nil {
		return
	}
	if len(k.Status.CurrentMetrics) != len(s.Metrics) {
		add("number of metrics", len(k.Status.CurrentMetrics), len(s.Metrics))
		return
	}
	for i := range k.Status.CurrentMetrics {
		current := currentOf(k.Status.CurrentMetrics[i])
		said := s.Metrics[i].Current
		if (current == nil) != (said == nil) {
			add(fmt.Sprintf("metric %d", i), current, said)
			continue
		}
		if current == nil {
			continue
		}
		utilization := func(p *int32) string {
			if p == nil {
				return "none"
			}
			return strconv.Itoa(int(*p))
		}
		want := utilization(current.AverageUtilization) + " " + quantityText(current.Value) + " " + quantityText(current.AverageValue)
		have := utilization(said.AverageUtilization) + " " + said.Value + " " + said.AverageValue
		if want != have {
			add(fmt.Sprintf("metric %d", i), want, have)
		}
	}
}

// The number in the status; "null" where it is a 0 that the controller did not decide: it set no scale, and the target has replicas.
func desiredOf(c *Case, k Answer) string {
	if k.Status.DesiredReplicas == 0 && !k.Rescale && c.Scale.Spec > 0 {
		return "null"
	}
	return fmt.Sprint(k.Status.DesiredReplicas)
}

func compare(c *Case, k Answer, s Said) (all []difference) {
	add := func(what string, k, g any) {
		all = append(all, difference{what, fmt.Sprint(k), fmt.Sprint(g)})
	}
	if s.Invalid != "" {
		add("validity", "a case", s.Invalid)
		return all
	}
	errs := requestErrors(c)
	want, have := desiredOf(c, k), "null"
	if s.DesiredReplicas != nil {
		have = fmt.Sprint(*s.DesiredReplicas)
	}
	if want != have {
		add("desiredReplicas", want, have)
	}
	if k.Rescale != s.Rescale || (k.Rescale && fmt.Sprint(k.Scale) != have) {
		add("rescale", fmt.Sprint(k.Rescale, " ", k.Scale), fmt.Sprint(s.Rescale, " ", have))
	}
	if k.Reason != s.Reason {
		add("reason", k.Reason, s.Reason)
	}
	failure := ""
	if s.Error != nil {
		failure = *s.Error
	}
	if anyPod(k.Failure, errs) != anyPod(failure, errs) {
		add("error", k.Failure, failure)
	}
	said, conditions := "", ""
	for _, x := range s.Conditions {
		said += fmt.Sprintf("%s %s %s %s\n", x.Type, x.Status, x.Reason, anyPod(x.Message, errs))
	}
	for _, x := range k.Status.Conditions {
		conditions += fmt.Sprintf("%s %s %s %s\n", x.Type, x.Status, x.Reason, anyPod(x.Message, errs))
	}
	if conditions != said {
		add("conditions", conditions, said)
	}
	compareMetrics(k, s, add)
	if !sameHistory(k.History, s.History) {
		add("history", fmt.Sprintf("%+v", k.History), fmt.Sprintf("%+v", s.History))
	}
	return all
}

var configs = []Config{
	{0.1, 300 * time.Second, 300 * time.Second, 30 * time.Second},
	{0.1, 300 * time.Second, 120 * time.Second, 10 * time.Second},
	{0.05, 60 * time.Second, 300 * time.Second, 30 * time.Second},
	{0, 10 * time.Second, 0, 0},
	{0.2, 90*time.Second + 700*time.Millisecond, 60 * time.Second, 30 * time.Second},
	{0.33, 0, 300 * time.Second, 300 * time.Second},
}

// What the random cases met, so that a generator that makes only dull ones fails.
type met map[string]int

func (m met) look(k Answer) {
	for _, c := range k.Status.Conditions {
		if c.Message != "as before" {
			m[string(c.Type)+"="+string(c.Status)+" "+c.Reason]++
		}
	}
	if k.Rescale {
		m["rescale"]++
	} else {
		m["no rescale"]++
	}
}

var mustMeet = []string{
	"AbleToScale=True SucceededGetScale", "AbleToScale=True ReadyForNewScale", "AbleToScale=True SucceededRescale",
	"AbleToScale=True ScaleUpStabilized", "AbleToScale=True ScaleDownStabilized",
	"ScalingActive=True ValidMetricFound", "ScalingActive=False ScalingDisabled",
	"ScalingActive=False FailedGetResourceMetric", "ScalingActive=False FailedGetContainerResourceMetric",
	"ScalingActive=False FailedGetPodsMetric", "ScalingActive=False FailedGetObjectMetric", "ScalingActive=False FailedGetExternalMetric",
	"ScalingLimited=False DesiredWithinRange", "ScalingLimited=True TooFewReplicas", "ScalingLimited=True TooManyReplicas",
	"ScalingLimited=True ScaleUpLimit", "ScalingLimited=True ScaleDownLimit",
	"ScaledToZero=True ScaledToZero", "ScaledToZero=False NotScaledToZero", "rescale", "no rescale",
}

// Asks both about n random cases; what was met.
func judge(t *testing.T, g *Generator, n int) met {
	verb := start(t)
	defer verb.stop(t)
	var worlds []*World
	for _, config := range configs {
		worlds = append(worlds, NewWorld(config))
	}
	seen := met{}
	failures := 0
	late := 0
	began := time.Now()
	i := 0
	for ; i < n && failures < 20; i++ {
		w := worlds[i%len(worlds)]
		c := g.Case(w.Config, time.Now())
		if err := c.Decode(); err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		k := w.Reconcile(c)
		if time.Since(c.at) > 300*time.Millisecond { // the machine was elsewhere: half seconds are edges now
			late++
			continue
		}
		seen.look(k)
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		said := verb.ask(t, line)
		if differences := compare(c, k, said); len(differences) > 0 {
			failures++
			for _, d := range differences {
				t.Errorf("case %d: %s\n  kubernetes: %s\n  gpuscale:   %s", i, d.what, d.kubernetes, d.gpuscale)
			}
			t.Logf("case %d: %s", i, line)
		}
	}
	t.Logf("%d cases in %.1f s, %d left out because the machine was slow", i, time.Since(began).Seconds(), late)
	if late > n/10 {
		t.Errorf("%d of %d cases were too late to compare", late, n)
	}
	return seen
}

func TestTheVerbSaysWhatKubernetesDoes(t *testing.T) {
	n := count(t, "GPUSCALE_HPA_CASES", 20000)
	g := &Generator{Rand: rand.New(rand.NewPCG(seed(t), 1)), version: "v1.37.2"}
	seen := judge(t, g, n)
	for _, what := range mustMeet {
		t.Logf("%6d  %s", seen[what], what)
		if n >= 5000 && seen[what] < 5 {
			t.Errorf("met %q only %d times", what, seen[what])
		}
	}
}

// Without 1.37's scaling to zero its code does what 1.36 did, but for one message.
func TestWithoutScalingToZeroItIs136(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.HPAScaleToZero, false)
	n := count(t, "GPUSCALE_HPA_CASES", 20000) / 4
	g := &Generator{Rand: rand.New(rand.NewPCG(seed(t), 4)), version: "1.36", older: true}
	seen := judge(t, g, n)
	for _, what := range []string{"ScalingActive=False ScalingDisabled", "AbleToScale=True SucceededRescale"} {
		if n >= 1000 && seen[what] < 5 {
			t.Errorf("met %q only %d times", what, seen[what])
		}
	}
	for what := range seen {
		if strings.HasPrefix(what, "ScaledToZero") {
			t.Errorf("met %q", what)
		}
	}
}

func quantityText(q interface{ String() string }) string {
	if s := q.String(); s != "<nil>" {
		return s
	}
	return ""
}
