// SPDX-License-Identifier: Apache-2.0

package hpa

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// How far apart one HPA's reconciliations are: its multiples stay a tenth of a second away from the
// whole seconds at which windows and periods of up to 4 s end.
const step = 700 * time.Millisecond

const slack = 60 * time.Millisecond

// life is one HPA over real seconds.
type life struct {
	world     *World
	c         *Case
	due       time.Time
	name      string
	spec      object
	status    json.RawMessage
	remembers *History // what our own last answer said
	before    time.Time
	replicas  int32
	late      bool
}

func (g *Generator) shortRules() object {
	r := object{}
	if g.chance(70) {
		r["stabilizationWindowSeconds"] = g.between(0, 4)
	}
	if g.chance(70) {
		list := []any{}
		for range g.between(1, 2) {
			list = append(list, object{"type": pick(g, "Pods", "Percent"), "value": pick(g, 1, 2, 3, 50, 100), "periodSeconds": g.between(1, 4)})
		}
		r["policies"] = list
		r["selectPolicy"] = pick(g, "Max", "Min")
	}
	return r
}

func (g *Generator) life(i int, worlds []*World) *life {
	spec := object{"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": "target"},
		"minReplicas": pick(g, 0, 1, 2), "maxReplicas": pick(g, 10, 20),
		"metrics": []any{object{"type": "External", "external": object{"metric": object{"name": "work"},
			"target": object{"type": "AverageValue", "averageValue": "10"}}}}}
	if g.chance(70) {
		spec["behavior"] = object{"scaleUp": g.shortRules(), "scaleDown": g.shortRules()}
	}
	return &life{world: worlds[i%len(worlds)], name: fmt.Sprintf("life-%d", i), spec: spec, replicas: int32(g.between(1, 8)),
		status: json.RawMessage("{}")}
}

// The next case: where the HPA stands, another load, and as history what the last answer ended with.
func (l *life) next(g *Generator) {
	now := time.Now()
	config := l.world.Config
	text := fmt.Sprint(pick(g, 0, 5, 10, 20, 40, 60, 80, 100, 120, 200) + g.between(0, 9))
	if g.chance(25) {
		text = "0"
	}
	c := &Case{at: now, Now: now.UTC().Format(time.RFC3339Nano), Pods: json.RawMessage("[]"), Scale: Scale{l.replicas, l.replicas},
		External:   map[string]Series{"work": {Values: []resource.Quantity{resource.MustParse(text)}, Raw: []json.RawMessage{json.RawMessage(text)}}},
		Controller: map[string]any{"tolerance": config.Tolerance, "downscaleStabilizationSeconds": config.Window.Seconds()}}
	c.HPA, _ = json.Marshal(object{"metadata": object{"name": "target", "namespace": l.name}, "spec": l.spec, "status": l.status})
	if l.remembers != nil {
		h := *l.remembers
		passed := now.Sub(l.before).Seconds()
		age := func(list []Event) (older []Event) {
			for _, e := range list {
				older = append(older, Event{e.Change, e.SecondsAgo + passed})
			}
			return older
		}
		var recommendations []Recommendation
		for _, r := range h.Recommendations {
			recommendations = append(recommendations, Recommendation{r.Replicas, r.SecondsAgo + passed})
		}
		c.History = &History{recommendations, age(h.ScaleUps), age(h.ScaleDowns)}
	}
	l.c = c
	l.before = now
}

// The controller keeps its own memory over real seconds; ours is handed from answer to answer.
func TestHistoriesGrowAlikeOverRealSeconds(t *testing.T) {
	g := &Generator{Rand: rand.New(rand.NewPCG(seed(t), 2))}
	verb := start(t)
	defer verb.stop(t)
	var worlds []*World
	for _, window := range []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second} {
		worlds = append(worlds, NewWorld(Config{0.1, window, 300 * time.Second, 30 * time.Second}))
	}
	rounds := 12
	lives := make([]*life, count(t, "GPUSCALE_HPA_LIVES", 70))
	began := time.Now()
	for i := range lives {
		lives[i] = g.life(i, worlds)
		lives[i].due = began.Add(time.Duration(i) * step / time.Duration(len(lives)))
	}
	seen := met{}
	compared, late := 0, 0
	for range rounds {
		for _, l := range lives {
			time.Sleep(time.Until(l.due))
			if l.late || t.Failed() {
				continue
			}
			l.next(g)
			if err := l.c.Decode(); err != nil {
				t.Fatal(err)
			}
			k := l.world.Decide(l.c)
			if time.Since(l.due) > slack { // the machine was elsewhere: ages are at the edges now
				l.late = true
				late++
				continue
			}
			seen.look(k)
			line, err := json.Marshal(l.c)
			if err != nil {
				t.Fatal(err)
			}
			said := verb.ask(t, line)
			for _, d := range compare(l.c, k, said) {
				t.Errorf("%s: %s\n  kubernetes: %s\n  gpuscale:   %s\n%s", l.name, d.what, d.kubernetes, d.gpuscale, line)
			}
			compared++
			l.status, _ = json.Marshal(k.Status)
			l.remembers = &said.History
			if k.Rescale {
				l.replicas = k.Scale
			}
			l.due = l.due.Add(step)
		}
	}
	t.Logf("%d HPAs, %d reconciliations compared, %d HPAs given up because the machine was slow", len(lives), compared, late)
	if late > len(lives)/2 {
		t.Errorf("%d of %d HPAs came too late", late, len(lives))
	}
	for _, what := range []string{"AbleToScale=True ScaleDownStabilized", "AbleToScale=True ScaleUpStabilized", "ScalingLimited=True ScaleUpLimit",
		"ScalingLimited=True ScaleDownLimit", "ScaledToZero=True ScaledToZero"} {
		t.Logf("%6d  %s", seen[what], what)
		if len(lives) >= 50 && seen[what] == 0 {
			t.Errorf("never met %q", what)
		}
	}
}
