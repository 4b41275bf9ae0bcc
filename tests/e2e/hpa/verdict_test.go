// SPDX-License-Identifier: Apache-2.0

package hpa

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/apis/autoscaling"
	autoscalingapiv2 "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/apis/autoscaling/validation"
)

// What the API server says of an HPA, once its defaults are filled in.
func verdict(t *testing.T, c *Case) string {
	if err := c.Decode(); err != nil {
		return err.Error()
	}
	hpa := c.hpa.DeepCopy()
	autoscalingapiv2.SetDefaults_HorizontalPodAutoscaler(hpa)
	internal := &autoscaling.HorizontalPodAutoscaler{}
	if err := autoscalingapiv2.Convert_v2_HorizontalPodAutoscaler_To_autoscaling_HorizontalPodAutoscaler(hpa, internal, nil); err != nil {
		return err.Error()
	}
	options := validation.HorizontalPodAutoscalerSpecValidationOptions{
		ScaleTargetRefValidationOptions: validation.CrossVersionObjectReferenceValidationOptions{AllowEmptyAPIGroup: true},
		ObjectMetricsValidationOptions:  validation.CrossVersionObjectReferenceValidationOptions{AllowEmptyAPIGroup: true},
	}
	if errs := validation.ValidateHorizontalPodAutoscaler(internal, options); len(errs) > 0 {
		return errs.ToAggregate().Error()
	}
	return ""
}

// One thing is broken, or nearly: somewhere in the spec a number, a name or a part.
func (g *Generator) spoil(spec object) {
	number := func() any { return pick[any](g, 0, -1, 1, 2, 3600, 3601, 1800, 1801, math.MaxInt32, 1.5, "3", nil) }
	quantity := func() any { return pick[any](g, "0", "-1", "1m", "0.1m", 0, 5, "lots", nil, "1e-9", "-0.001", "") }
	rules := func() object {
		behavior, ok := spec["behavior"].(object)
		if !ok {
			behavior = object{}
			spec["behavior"] = behavior
		}
		which := pick(g, "scaleUp", "scaleDown")
		r, ok := behavior[which].(object)
		if !ok {
			r = object{}
			behavior[which] = r
		}
		return r
	}
	metric := func() (m, source, target object) {
		list, _ := spec["metrics"].([]any)
		if len(list) == 0 {
			return nil, object{}, object{}
		}
		m = list[g.IntN(len(list))].(object)
		for key, s := range m {
			if key != "type" {
				source = s.(object)
			}
		}
		return m, source, source["target"].(object)
	}
	switch g.IntN(16) {
	case 0:
		spec["maxReplicas"] = number()
	case 1:
		spec["minReplicas"] = number()
	case 2:
		delete(spec, "maxReplicas")
	case 3:
		_, _, target := metric()
		target[pick(g, "value", "averageValue")] = quantity()
	case 4:
		_, _, target := metric()
		target["averageUtilization"] = number()
	case 5:
		_, _, target := metric()
		target["type"] = pick[any](g, "Utilization", "Value", "AverageValue", "Average", "", nil)
	case 6:
		_, _, target := metric()
		for key := range target {
			delete(target, key)
		}
		target["type"] = "Value"
	case 7:
		if m, _, _ := metric(); m != nil {
			m["type"] = pick(g, "Resource", "Pods", "External", "Object", "ContainerResource", "Metric")
		}
	case 8:
		if m, _, _ := metric(); m != nil {
			m["resource"] = object{"name": "cpu", "target": object{"type": "Utilization", "averageUtilization": 50}}
		}
	case 9:
		_, source, _ := metric()
		if identifier, ok := source["metric"].(object); ok {
			identifier["name"] = pick[any](g, "", nil, "fine")
		} else {
			source["name"] = pick[any](g, "", nil, "memory")
		}
	case 10:
		_, source, _ := metric()
		if source["describedObject"] != nil {
			source["describedObject"] = pick(g, object{"kind": "Service"}, object{"name": "x"}, object{"kind": "", "name": "x"}, object{"kind": "A", "name": "x"})
		}
		if source["container"] != nil {
			source["container"] = pick[any](g, "", nil, "main")
		}
	case 11:
		rules()["stabilizationWindowSeconds"] = number()
	case 12:
		rules()["tolerance"] = quantity()
	case 13:
		rules()["selectPolicy"] = pick[any](g, "Max", "Most", "", nil, "Disabled")
	case 14:
		rules()["policies"] = pick[any](g, []any{}, nil, []any{object{"type": "Pods", "value": number(), "periodSeconds": number()}})
	case 15:
		rules()["policies"] = []any{object{"type": pick[any](g, "Pods", "Percent", "Percents", "", nil), "value": 1, "periodSeconds": 1}}
	}
}

func TestWhatTheAPIServerRefusesIsRefused(t *testing.T) {
	g := &Generator{Rand: rand.New(rand.NewPCG(seed(t), 3)), version: "1.37"}
	verb := start(t)
	n := count(t, "GPUSCALE_HPA_VERDICTS", 6000)
	refused, differing := 0, 0
	for i := 0; i < n && differing < 20; i++ {
		c := g.Case(configs[0], time.Now())
		var hpa object
		if err := json.Unmarshal(c.HPA, &hpa); err != nil {
			t.Fatal(err)
		}
		g.spoil(hpa["spec"].(object))
		c.HPA, _ = json.Marshal(hpa)
		want := verdict(t, c)
		if want != "" {
			refused++
		}
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		said := verb.ask(t, line)
		if (want != "") != (said.Invalid != "") {
			differing++
			t.Errorf("case %d\n  the API server: %q\n  gpuscale:       %q\n%s", i, want, said.Invalid, c.HPA)
		}
	}
	t.Logf("%d specs, %d of them refused by both", n, refused)
	if refused < n/10 || refused > n*9/10 {
		t.Errorf("%d of %d refused: the generator is dull", refused, n)
	}
	_ = verb.in.Close()
	_ = verb.cmd.Wait() // 2: there were invalid ones
}
