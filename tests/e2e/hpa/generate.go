// SPDX-License-Identifier: Apache-2.0

package hpa

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

type object = map[string]any

// Generator makes random cases: mostly near the edges where the controller changes its mind.
type Generator struct {
	*rand.Rand
	n       int
	version string
	older   bool // nothing that 1.37 brought
}

func (g *Generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *Generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *Generator) between(from, to int) int { return from + g.IntN(to-from+1) }

// A quantity's text as people write it, and the value that Go reads from it.
func (g *Generator) quantity(milli int64) string {
	if abs(milli) > math.MaxInt64/1000 {
		return fmt.Sprintf("%dm", milli)
	}
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("%dm", milli)
	case 1:
		return resource.NewMilliQuantity(milli, resource.DecimalSI).String()
	case 2:
		return fmt.Sprintf("%d.%03d", milli/1000, abs(milli%1000))
	case 3:
		return fmt.Sprintf("%de-3", milli)
	case 4:
		return resource.NewMilliQuantity(milli, resource.BinarySI).String()
	default:
		return fmt.Sprintf("%du", milli*1000)
	}
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

var extremes = []string{"0", "1n", "1500u", "-1", "-250m", "1e3", "2E", "9223372036854775807", "9223372036854775808m",
	"1e18", "9e15", "999999999999999999", "12345678901234567890", "8Ei", "7Ei", "1.5Gi", "0.1Ki", "1e-12", "123456789.123456789123",
	"16Ei", "100000000000000000000", "9.3e18", "3000000000", "2147483648"}

// A value for a target, often so that the ratio lies at the edge of the tolerance.
func (g *Generator) value(target int64, replicas int32) string {
	if g.chance(3) {
		return pick(g, extremes...)
	}
	if replicas < 1 {
		replicas = 1
	}
	edge := pick(g, 1.0, 1.1, 0.9, 1.2, 0.8, 1.05, 0.95, 0.5, 2, 3, 0, 1.33, 0.67)
	v := int64(float64(target) * edge * float64(replicas))
	return g.quantity(v + int64(g.between(-1, 1)))
}

func raw(s string, g *Generator) json.RawMessage {
	// A bare number where it is one.
	if q, err := resource.ParseQuantity(s); err == nil && g.chance(50) {
		if _, isNumber := json.Number(s).Float64(); isNumber == nil && s[0] != '.' && (len(s) < 2 || s[0] != '0' || s[1] == '.') && q.Sign() >= 0 {
			return json.RawMessage(s)
		}
	}
	text, _ := json.Marshal(s)
	return text
}

func (g *Generator) target(m object, kind string) (milli int64) {
	milli = int64(pick(g, 1, 10, 100, 500, 1000, 1500, 10000, 33333, 1000000))
	if g.chance(3) {
		milli = pick(g, int64(math.MaxInt64), int64(1e15), 1)
	}
	target := object{}
	switch kind {
	case "Utilization":
		target = object{"type": kind, "averageUtilization": pick(g, 1, 10, 50, 60, 70, 80, 100, 150, 333)}
	case "Value":
		target = object{"type": kind, "value": g.quantity(milli)}
	case "AverageValue":
		target = object{"type": kind, "averageValue": g.quantity(milli)}
	}
	m["target"] = target
	return milli
}

func (g *Generator) selector() any {
	if g.chance(70) {
		return nil
	}
	s := object{}
	if g.chance(80) {
		labels := object{}
		for range g.between(1, 3) {
			labels[pick(g, "app", "tier", "queue", "zone", "a.b/c")] = pick(g, "x", "web", "b-1", "")
		}
		s["matchLabels"] = labels
	}
	if g.chance(40) {
		s["matchExpressions"] = []any{
			object{"key": "zone", "operator": pick(g, "In", "NotIn"), "values": []string{"b", "a"}},
			object{"key": "app", "operator": pick(g, "Exists", "DoesNotExist")},
		}
	}
	return s
}

func identifier(name string, selector any) object {
	m := object{"name": name}
	if selector != nil {
		m["selector"] = selector
	}
	return m
}

var resources = []string{"cpu", "cpu", "cpu", "memory", "nvidia.com/gpu"}

// One metric of the spec, and its value in the case.
func (g *Generator) metric(c *Case, names []string, i int) object {
	name := fmt.Sprintf("metric-%d", i)
	switch kind := pick(g, "Resource", "Resource", "ContainerResource", "Pods", "Object", "External", "External"); kind {
	case "Resource", "ContainerResource":
		m := object{"name": pick(g, resources...)}
		g.target(m, pick(g, "Utilization", "Utilization", "AverageValue"))
		if kind == "ContainerResource" {
			m["container"] = pick(g, "main", "main", "side", "none")
			return object{"type": kind, "containerResource": m}
		}
		return object{"type": kind, "resource": m}
	case "Pods":
		m := object{"metric": identifier(name, g.selector())}
		target := g.target(m, "AverageValue")
		v := &OfPods{Values: map[string]resource.Quantity{}, Raw: map[string]json.RawMessage{}}
		if g.chance(6) {
			v.Error = pick(g, "the server is down", "not found", "x: \"quoted\" <html>")
		}
		for _, pod := range append(names, "stranger") {
			if !g.chance(85) || (pod == "stranger" && !g.chance(10)) {
				continue
			}
			text := g.value(target, 1)
			v.Values[pod] = resource.MustParse(text)
			v.Raw[pod] = raw(text, g)
			v.order = append(v.order, pod)
		}
		c.PodMetricValues[name] = v
		return object{"type": kind, "pods": m}
	case "Object":
		m := object{"metric": identifier(name, g.selector()),
			"describedObject": object{"apiVersion": "v1", "kind": pick(g, "Service", "Ingress"), "name": "front"}}
		target := g.target(m, pick(g, "Value", "AverageValue"))
		text := g.value(target, c.Scale.Status)
		v := One{Value: resource.MustParse(text), Raw: raw(text, g)}
		if g.chance(6) && !g.older { // the order of the words is another before 1.37
			v.Error = "the adapter does not answer"
		}
		c.Object[name] = v
		return object{"type": kind, "object": m}
	default:
		m := object{"metric": identifier(name, g.selector())}
		target := g.target(m, pick(g, "Value", "AverageValue", "AverageValue"))
		v := Series{}
		n := pick(g, 1, 1, 1, 1, 2, 3, 0)
		for range n {
			text := g.value(target/int64(n), c.Scale.Status)
			v.Values = append(v.Values, resource.MustParse(text))
			v.Raw = append(v.Raw, raw(text, g))
		}
		if g.chance(6) {
			v.Error = "no matching metrics found"
		}
		c.External[name] = v
		return object{"type": kind, "external": m}
	}
}

func (g *Generator) requests(usual int) object {
	r := object{}
	if g.chance(97) {
		r["cpu"] = g.quantity(int64(usual))
	}
	if g.chance(95) {
		r["memory"] = pick(g, "64Mi", "1Gi", "100M", "131072")
	}
	if g.chance(20) {
		r["nvidia.com/gpu"] = "1"
	}
	return r
}

// Times that are whole seconds, as Kubernetes writes them, and no edge of the configuration's.
func (g *Generator) ago(c *Case, config Config) string {
	seconds := pick(g, 3, 7, 20, 45, 70, 100, 150, 200, 290, 305, 330, 600, 3600, 86400, -20)
	_ = config
	return c.at.Add(-time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
}

func (g *Generator) pod(c *Case, config Config, name string) object {
	usual := pick(g, 100, 250, 500, 1000, 2000)
	containers := []any{object{"name": "main", "image": "x", "resources": object{"requests": g.requests(usual)}}}
	if g.chance(40) {
		containers = append(containers, object{"name": "side", "resources": object{"requests": g.requests(50)}})
	}
	spec := object{"containers": containers, "nodeName": "n1", "restartPolicy": "Always"}
	if g.chance(15) {
		init := object{"name": "init", "resources": object{"requests": g.requests(3000)}}
		if g.chance(60) {
			init["restartPolicy"] = "Always"
		}
		spec["initContainers"] = []any{init, object{"name": "init2", "resources": object{"requests": g.requests(10)}}}
	}
	if g.chance(8) {
		spec["resources"] = object{"requests": pick(g, object{"cpu": "750m"}, object{"memory": "1Gi"}, object{"cpu": "1", "memory": "2Gi"}, object{})}
	}
	if g.chance(5) {
		spec["overhead"] = object{"cpu": "250m", "memory": "120Mi"}
	}
	meta := object{"name": name, "namespace": "", "labels": object{"app": "target"}, "uid": "u-" + name}
	if g.chance(5) {
		meta["deletionTimestamp"] = g.ago(c, config)
	}
	status := object{"phase": pick(g, "Running", "Running", "Running", "Running", "Running", "Running", "Running", "Pending", "Failed", "Succeeded", "Unknown")}
	if g.chance(95) {
		status["startTime"] = g.ago(c, config)
	}
	if g.chance(95) {
		ready := object{"type": "Ready", "status": pick(g, "True", "True", "True", "True", "False", "False", "Unknown")}
		if g.chance(95) {
			ready["lastTransitionTime"] = g.ago(c, config)
		}
		status["conditions"] = []any{object{"type": "PodScheduled", "status": "True"}, ready}
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}
}

func (g *Generator) podMetrics(c *Case, config Config, name string) object {
	containers := []any{}
	use := func(container string) {
		usage := object{}
		if g.chance(98) {
			usage["cpu"] = g.quantity(int64(pick(g, 10, 50, 100, 250, 500, 900, 1000, 2000)))
		}
		if g.chance(95) {
			usage["memory"] = pick(g, "32Mi", "100Mi", "900Mi", "104857600", "2Gi")
		}
		if g.chance(10) {
			usage["nvidia.com/gpu"] = "1"
		}
		if g.chance(1) {
			usage["cpu"] = pick(g, extremes...)
		}
		containers = append(containers, object{"name": container, "usage": usage})
	}
	if g.chance(99) {
		use("main")
	}
	if g.chance(40) {
		use("side")
	}
	m := object{"metadata": object{"name": name, "namespace": "", "labels": object{"app": "target"}}, "containers": containers}
	if g.chance(97) {
		m["timestamp"] = g.ago(c, config)
	}
	if g.chance(97) {
		m["window"] = pick(g, "30s", "1m0s", "15.5s", "10s")
	}
	return m
}

func (g *Generator) rules(up bool) object {
	r := object{}
	if g.chance(60) {
		r["stabilizationWindowSeconds"] = pick(g, 0, 0, 10, 60, 300, 3600)
	}
	if g.chance(50) {
		r["selectPolicy"] = pick(g, "Max", "Min", "Disabled")
	}
	if g.chance(70) {
		list := []any{}
		for range g.between(1, 3) {
			list = append(list, object{"type": pick(g, "Pods", "Percent"), "value": pick(g, 1, 2, 4, 10, 33, 50, 100, 900, math.MaxInt32),
				"periodSeconds": pick(g, 1, 15, 60, 600, 1800)})
		}
		r["policies"] = list
	}
	if g.chance(40) {
		r["tolerance"] = pick(g, "0", "0.05", "100m", "0.1", "70m", "1", "333m", "0.25", "5e-2")
	}
	return r
}

func (g *Generator) conditions() []any {
	list := []any{}
	add := func(kind, status, reason string) {
		list = append(list, object{"type": kind, "status": status, "reason": reason, "message": "as before",
			"lastTransitionTime": "2026-01-01T00:00:00Z"})
	}
	if g.chance(40) && !g.older {
		add("ScaledToZero", pick(g, "True", "False"), "NotScaledToZero")
	}
	if g.chance(60) {
		add("AbleToScale", pick(g, "True", "False"), "ReadyForNewScale")
	}
	if g.chance(60) {
		add("ScalingActive", pick(g, "True", "False", "Unknown"), "ValidMetricFound")
	}
	if g.chance(10) {
		add("Foreign", "True", "Because")
	}
	if g.chance(50) {
		add("ScalingLimited", pick(g, "True", "False"), "TooFewReplicas")
	}
	if g.chance(40) && !g.older {
		add("ScaledToZero", pick(g, "True", "True", "False"), "ScaledToZero")
	}
	return list
}

func (g *Generator) history(replicas int32) *History {
	h := &History{}
	near := func() int32 { return max(0, replicas+int32(g.between(-5, 5))) }
	// Half seconds: between the whole ones at which windows and periods end.
	ago := func() float64 {
		return float64(pick(g, 0, 1, 5, 9, 14, 15, 30, 59, 60, 90, 299, 300, 599, 1200, 1800, 3599, 4000)) + 0.5
	}
	if g.chance(85) {
		for range g.between(1, 12) {
			h.Recommendations = append(h.Recommendations, Recommendation{near(), ago()})
		}
	}
	for range g.between(0, 4) {
		h.ScaleUps = append(h.ScaleUps, Event{int32(g.between(0, 8)), ago()})
	}
	for range g.between(0, 4) {
		h.ScaleDowns = append(h.ScaleDowns, Event{int32(g.between(0, 8)), ago()})
	}
	return h
}

func (g *Generator) bounds(c *Case, zeroAllowed bool) (minimum any, maximum int32) {
	r := c.Scale.Spec
	low := max(1, r+int32(g.between(-6, 3)))
	if g.chance(30) {
		low = 1
	}
	maximum = max(low, r+int32(g.between(-3, 20)))
	if g.chance(5) {
		maximum = math.MaxInt32
	}
	minimum = low
	if g.chance(15) {
		minimum = nil
	}
	if zeroAllowed && g.chance(35) {
		minimum = 0
	}
	return minimum, max(1, maximum)
}

// Case makes the next one, as of now.
func (g *Generator) Case(config Config, now time.Time) *Case {
	g.n++
	c := &Case{at: now, Now: now.UTC().Format(time.RFC3339Nano),
		PodMetricValues: map[string]*OfPods{}, External: map[string]Series{}, Object: map[string]One{},
		Controller: map[string]any{"tolerance": config.Tolerance, "downscaleStabilizationSeconds": config.Window.Seconds(),
			"cpuInitializationPeriodSeconds": config.CPUInitialization.Seconds(),
			"initialReadinessDelaySeconds":   config.ReadinessDelay.Seconds(), "version": g.version}}
	n := pick(g, 0, 1, 2, 3, 3, 4, 5, 6, 8, 12)
	if g.chance(1) {
		n = 150
	}
	r := int32(pick(g, n, n, n, n, n+1, n-1, n+3, 0))
	r = max(0, r)
	if g.chance(1) {
		r = pick[int32](g, math.MaxInt32, math.MaxInt32/2, 1000000)
	}
	c.Scale = Scale{Spec: r, Status: pick(g, r, r, r, int32(n), 0)}
	var names []string
	pods := []any{}
	podMetrics := []any{}
	for i := range n {
		name := fmt.Sprintf("pod-%d", i)
		names = append(names, name)
		pods = append(pods, g.pod(c, config, name))
		if g.chance(90) {
			podMetrics = append(podMetrics, g.podMetrics(c, config, name))
		}
	}
	if g.chance(5) {
		podMetrics = append(podMetrics, g.podMetrics(c, config, "stranger"))
	}
	metrics := []any{}
	outside := false
	for i := range pick(g, 0, 1, 1, 1, 2, 2, 3, 4) {
		m := g.metric(c, names, i)
		outside = outside || m["external"] != nil || m["object"] != nil
		metrics = append(metrics, m)
	}
	spec := object{"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": "target"}}
	minimum, maximum := g.bounds(c, outside)
	spec["maxReplicas"] = maximum
	if minimum != nil {
		spec["minReplicas"] = minimum
	}
	if len(metrics) > 0 {
		spec["metrics"] = metrics
	}
	if g.chance(60) {
		behavior := object{}
		if g.chance(75) {
			behavior["scaleUp"] = g.rules(true)
		}
		if g.chance(75) {
			behavior["scaleDown"] = g.rules(false)
		}
		spec["behavior"] = behavior
	}
	namespace := fmt.Sprintf("ns-%d", g.n)
	status := object{"currentReplicas": r, "desiredReplicas": max(0, r+int32(g.between(-2, 2)))}
	if g.chance(60) {
		status["conditions"] = g.conditions()
	}
	hpa := object{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
		"metadata": object{"name": "target", "namespace": namespace, "generation": 3, "annotations": object{"a": "b"}},
		"spec":     spec, "status": status}
	for _, list := range [][]any{pods, podMetrics} {
		for _, p := range list {
			p.(object)["metadata"].(object)["namespace"] = namespace
		}
	}
	c.HPA, _ = json.Marshal(hpa)
	c.Pods, _ = json.Marshal(pods)
	c.PodMetrics, _ = json.Marshal(podMetrics)
	if g.chance(4) {
		c.PodMetrics = json.RawMessage(`{"error":"the server could not find the requested resource"}`)
	}
	if g.chance(60) {
		c.History = g.history(r)
	}
	return c
}
