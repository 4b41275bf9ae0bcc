// SPDX-License-Identifier: Apache-2.0

// What `gpuscale generate` writes, judged by KEDA: its types decode it strictly, its admission webhook validates it beside what
// a cluster has, its scalers parse each trigger's metadata, its client asks our scaler for the metric of each external trigger,
// and its formula does what the text beside it says.
package keda

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"
	_ "unsafe" // go:linkname

	"github.com/go-logr/logr"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"github.com/kedacore/keda/v2/pkg/scaling/cache"
	"github.com/kedacore/keda/v2/pkg/scaling/modifiers"
	v2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"
)

// The webhook's own client and mapper: set when it registers with a manager, which there is none of here.
//
//go:linkname webhookClient github.com/kedacore/keda/v2/apis/keda/v1alpha1.kc
var webhookClient client.Client

//go:linkname webhookMapper github.com/kedacore/keda/v2/apis/keda/v1alpha1.restMapper
var webhookMapper meta.RESTMapper

// generated runs `gpuscale generate` with `input` on stdin: the objects it wrote.
func generated(t *testing.T, input string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(binary(t), append([]string{"generate"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("gpuscale generate %v: %v\n%s\n%s", args, err, errors.String(), out.String())
	}
	return strings.Split(out.String(), "\n---\n")
}

func scaledObject(t *testing.T, text string) *kedav1alpha1.ScaledObject {
	t.Helper()
	so := &kedav1alpha1.ScaledObject{}
	if err := yaml.UnmarshalStrict([]byte(text), so); err != nil {
		t.Fatalf("KEDA's types refuse it: %v\n%s", err, text)
	}
	return so
}

const vllmDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec:
      containers:
      - name: main
        image: vllm/vllm-openai:v0.11.0
        resources: {limits: {nvidia.com/gpu: 1}}
        readinessProbe: {httpGet: {path: /health, port: 8000}}
`

var tritonDeployment = strings.NewReplacer("vllm/vllm-openai:v0.11.0", "nvcr.io/nvidia/tritonserver:25.08-py3", "port: 8000", "port: 8002").Replace(vllmDeployment)

func classicObject(triggers string) string {
	return `
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: old, namespace: default}
spec:
  scaleTargetRef: {name: llm}
  minReplicaCount: 1
  maxReplicaCount: 8
  cooldownPeriod: 45
  triggers:
` + triggers
}

const cpuHPA = `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: llm-hpa, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llm}
  minReplicas: 1
  maxReplicas: 12
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
`

var generateCases = []struct {
	name, input string
	args        []string
}{
	{"vllm", vllmDeployment, nil},
	{"vllm with demand", vllmDeployment, []string{"--demand", "gateway", "--max", "6"}},
	{"observe", vllmDeployment, []string{"--mode", "observe", "--capacity", "2"}},
	{"before 1.35", vllmDeployment, []string{"--kubernetes", "1.34"}},
	{"triton", tritonDeployment, nil},
	{"long name", strings.ReplaceAll(vllmDeployment, "name: llm", "name: "+strings.Repeat("l", 60)), nil},
	{"queries", vllmDeployment, []string{"--set", "prometheus.lag=main", "--set", `query.lag=sum(lag{a="b\\c"})`, "--set", "target.lag=20"}},
	{"from the pair", tritonDeployment + classicObject(`
  - {type: prometheus, metadata: {serverAddress: "http://p:9090", metricName: gpu_utilization, threshold: "55"}}
  - {type: prometheus, metadata: {serverAddress: "http://p:9090", metricName: inference_queue_length, threshold: "10"}}
`), nil},
	{"from the mean", tritonDeployment + classicObject(`
  - {type: prometheus, metadata: {serverAddress: "http://p:9090", threshold: "60", query: 'sum(gpu_utilization{instance=~".*"}) / count(gpu_utilization{instance=~".*"})'}}
`), nil},
	{"from cpu and cron", vllmDeployment + classicObject(`
  - {type: cpu, metadata: {type: Utilization, value: "70"}}
  - {type: cron, metadata: {timezone: UTC, start: "0 8 * * *", end: "0 18 * * *", desiredReplicas: "3"}}
`), nil},
	{"from an HPA", vllmDeployment + cpuHPA, nil},
	{"classic stack", tritonDeployment, []string{"--style", "prometheus"}},
	{"classic stack by requests", vllmDeployment, []string{"--style", "prometheus", "--capacity", "2", "--queue", "4"}},
	{"classic stack of a pair that saturates", vllmDeployment, []string{"--style", "prometheus", "--capacity", "2", "--queue", "4", "--gpu-utilization", "55"}},
	{"managed", vllmDeployment, []string{"--style", "managed", "--demand", "gateway"}},
}

// admit asks KEDA's webhook, in a cluster that has what the input had.
func admit(t *testing.T, so *kedav1alpha1.ScaledObject, input string) admission.Warnings {
	t.Helper()
	s := testScheme(t)
	builder := fake.NewClientBuilder().WithScheme(s).
		WithIndex(&kedav1alpha1.ScaledObject{}, "spec.scaleTargetRef.name", func(o client.Object) []string {
			return []string{o.(*kedav1alpha1.ScaledObject).Spec.ScaleTargetRef.Name}
		}).
		WithIndex(&kedav1alpha1.ScaledObject{}, "spec.hpaName", func(o client.Object) []string { return nil }).
		WithIndex(&v2.HorizontalPodAutoscaler{}, "spec.scaleTargetRef.name", func(o client.Object) []string {
			return []string{o.(*v2.HorizontalPodAutoscaler).Spec.ScaleTargetRef.Name}
		})
	for _, text := range strings.Split(input, "\n---\n") {
		if strings.Contains(text, "kind: HorizontalPodAutoscaler") {
			hpa := &v2.HorizontalPodAutoscaler{}
			if err := yaml.UnmarshalStrict([]byte(text), hpa); err != nil {
				t.Fatal(err)
			}
			builder = builder.WithObjects(hpa)
		}
	}
	webhookClient = builder.Build()
	webhookMapper = testrestmapper.TestOnlyStaticRESTMapper(s)
	dryRun := false
	warnings, err := so.ValidateCreate(&dryRun)
	if err != nil {
		t.Fatalf("KEDA's webhook refuses it: %v", err)
	}
	return warnings
}

// scalerOf makes the trigger's scaler as KEDA's loop does.
func scalerOf(t *testing.T, so *kedav1alpha1.ScaledObject, i int) scalers.Scaler {
	t.Helper()
	trigger := so.Spec.Triggers[i]
	c := &scalersconfig.ScalerConfig{
		ScalableObjectName: so.Name, ScalableObjectNamespace: so.Namespace, ScalableObjectType: "ScaledObject",
		TriggerName: trigger.Name, TriggerType: trigger.Type, TriggerMetadata: trigger.Metadata, MetricType: trigger.MetricType,
		AuthParams: map[string]string{}, TriggerIndex: i,
	}
	var s scalers.Scaler
	var err error
	switch trigger.Type {
	case "external":
		s, err = scalers.NewExternalScaler(c)
	case "external-push":
		s, err = scalers.NewExternalPushScaler(c)
	case "prometheus":
		s, err = scalers.NewPrometheusScaler(c)
	case "cron":
		s, err = scalers.NewCronScaler(c)
	default:
		t.Fatalf("a trigger of type %s", trigger.Type)
	}
	if err != nil {
		t.Fatalf("KEDA makes no scaler of trigger %d: %v", i, err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func TestGeneratedObjectsAreKEDAs(t *testing.T) {
	g := newGateway(t)
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 2), g, nil)
	// Triggers may name a Prometheus only where the configuration has one: that case is the webhook's alone.
	for _, c := range generateCases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--scaler", s.grpc}, c.args...)
			so := scaledObject(t, generated(t, c.input, args...)[0])
			if warnings := admit(t, so, c.input); len(warnings) > 0 && !strings.Contains(c.name, "from") {
				t.Errorf("KEDA's webhook warns: %v", warnings)
			}
			for i, trigger := range so.Spec.Triggers {
				scaler := scalerOf(t, so, i)
				if !strings.HasPrefix(trigger.Type, "external") || c.name == "queries" {
					continue
				}
				specs := scaler.GetMetricSpecForScaling(context.Background())
				if len(specs) != 1 || specs[0].External.Metric.Name != fmt.Sprintf("s%d-desired-replicas", i) ||
					specs[0].External.Target.AverageValue.Value() != 1 {
					t.Errorf("our scaler says %v to metadata %v\n%s", specs, trigger.Metadata, s.logText())
				}
			}
		})
	}
}

// The AND of the pair, by KEDA's formula: raises only when both are above, is lowered by the GPU alone, and never by an
// empty queue.
func TestTheClassicFormulaIsWhatThePairPromises(t *testing.T) {
	so := scaledObject(t, generated(t, tritonDeployment, "--style", "prometheus")[0])
	program, err := kedav1alpha1.ValidateAndCompileScalingModifiers(so)
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]string{}
	for i, trigger := range so.Spec.Triggers {
		pairs[fmt.Sprintf("s%d-prometheus", i)] = trigger.Name
	}
	ask := func(values map[string]float64) float64 {
		var metrics []external_metrics.ExternalMetricValue
		for i, trigger := range so.Spec.Triggers {
			metrics = append(metrics, external_metrics.ExternalMetricValue{MetricName: fmt.Sprintf("s%d-prometheus", i),
				Value: *resource.NewMilliQuantity(int64(values[trigger.Name]*1000), resource.DecimalSI)})
		}
		got := modifiers.HandleScalingModifiers(so, metrics, pairs, false, nil, &cache.ScalersCache{CompiledFormula: program}, logr.Discard())
		if len(got) != 1 {
			t.Fatalf("%d values of %v", len(got), values)
		}
		return float64(got[0].Value.MilliValue()) / 1000
	}
	for _, gpu := range []float64{0, 40, 55, 110, 165, 300} {
		for _, queue := range []float64{0, 5, 20, 31, 200} {
			for _, n := range []float64{1, 2, 3, 8} {
				wanted := math.Min(gpu/55, n)
				if queue/10 > n {
					wanted = n
					if gpu/55 > n {
						wanted = math.Max(gpu/55, queue/10)
					}
				}
				if got := ask(map[string]float64{"gpu": gpu, "queue": queue, "replicas": n}); math.Abs(got-wanted) > 0.002 {
					t.Errorf("gpu %v, queue %v, %v replicas: %v, not %v", gpu, queue, n, got, wanted)
				}
			}
		}
	}
}

// The manifests that articles have: KEDA's own webhook and parser say what is wrong with them, ours are taken.
func TestTheClassicPairWasNeverAScaler(t *testing.T) {
	so := &kedav1alpha1.ScaledObject{}
	so.Name, so.Namespace = "old", "default"
	so.Spec.Triggers = []kedav1alpha1.ScaleTriggers{{Type: "prometheus", Metadata: map[string]string{
		"serverAddress": "http://p:9090", "metricName": "gpu_utilization", "threshold": "55"}}}
	_, err := scalers.NewPrometheusScaler(&scalersconfig.ScalerConfig{TriggerMetadata: so.Spec.Triggers[0].Metadata,
		AuthParams: map[string]string{}, TriggerType: "prometheus"})
	if err == nil || !strings.Contains(err.Error(), "query") {
		t.Fatalf("KEDA takes a trigger without a query: %v", err)
	}
}
