// SPDX-License-Identifier: Apache-2.0

// KEDA's own external and external-push scalers (kedacore/keda v2.21.0) drive the built binary:
// what they read is what a cluster would get.
package keda

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	v2 "k8s.io/api/autoscaling/v2"
)

// rule is the metadata of an LLM's trigger that reacts within seconds.
func rule(extra map[string]string) map[string]string {
	m := map[string]string{"engine": "vllm", "capacity": "2", "rateWindow": "4s", "downWindow": "1s"}
	for k, v := range extra {
		m[k] = v
	}
	return m
}

func config(addr, name string, metadata, auth map[string]string) *scalersconfig.ScalerConfig {
	m := map[string]string{"scalerAddress": addr}
	for k, v := range metadata {
		m[k] = v
	}
	return &scalersconfig.ScalerConfig{
		ScalableObjectName: name, ScalableObjectNamespace: "default", ScalableObjectType: "ScaledObject",
		TriggerName: "t", TriggerType: "external", TriggerMetadata: m, AuthParams: auth,
		MetricType: v2.AverageValueMetricType, TriggerIndex: 0,
	}
}

func external(t *testing.T, addr, name string, metadata, auth map[string]string) scalers.Scaler {
	t.Helper()
	s, err := scalers.NewExternalScaler(config(addr, name, metadata, auth))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func push(t *testing.T, addr, name string, metadata, auth map[string]string) scalers.PushScaler {
	t.Helper()
	s, err := scalers.NewExternalPushScaler(config(addr, name, metadata, auth))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

const metric = "s0-desired-replicas"

// value asks as the HPA path does; -1 on error.
func value(s scalers.Scaler) (float64, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	values, active, err := s.GetMetricsAndActivity(ctx, metric)
	if err != nil {
		return -1, false, err
	}
	if len(values) != 1 {
		return -1, active, fmt.Errorf("%d values: KEDA would sum them", len(values))
	}
	return values[0].Value.AsApproximateFloat64(), active, nil
}

// replicasOf is what the HPA computes from an AverageValue target of 1: the ceiling.
func replicasOf(s scalers.Scaler) int {
	v, _, err := value(s)
	if err != nil {
		return -1
	}
	return int(v + 0.9999)
}

func TestSpecIsOneMetricWithTargetOne(t *testing.T) {
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 3), nil, nil)
	specs := external(t, s.grpc, "llm", rule(nil), nil).GetMetricSpecForScaling(context.Background())
	if len(specs) != 1 || specs[0].External == nil {
		t.Fatalf("specs: %+v", specs)
	}
	e := specs[0].External
	if e.Metric.Name != metric || e.Target.Type != v2.AverageValueMetricType || e.Target.AverageValue.MilliValue() != 1000 {
		t.Fatalf("spec: %s %s %v", e.Metric.Name, e.Target.Type, e.Target.AverageValue)
	}
}

func TestValuesFollowTheLoad(t *testing.T) {
	engines := []*engine{newEngine(t), newEngine(t)}
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+
		workload("llm", 2, engines[0].hostPort(), engines[1].hostPort()), nil, nil)
	k := external(t, s.grpc, "llm", rule(nil), nil)
	for _, e := range engines {
		e.finished.setRate(5)
	}
	// 10 requests/s at 2 each: R = 5, ceil((5 + 0.3 sqrt 5) / 1.05) = 6 (or 1.0: 6).
	eventually(t, "6 replicas at 10 requests/s", func() bool { return replicasOf(k) == 6 })
	if _, active, err := value(k); err != nil || !active {
		t.Fatalf("active %v, error %v", active, err)
	}
	for _, e := range engines {
		e.finished.setRate(0.5)
	}
	// 1 request/s: R = 0.5 needs 1; the window of 1 s has passed soon.
	eventually(t, "1 replica at 1 request/s", func() bool { return replicasOf(k) == 1 })
}

func TestActivationFollowsDemandAtZero(t *testing.T) {
	g := newGateway(t)
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 0), g, nil)
	k := external(t, s.grpc, "llm", rule(map[string]string{"demand": "gateway", "activation": "1"}), nil)
	eventually(t, "an answer without error", func() bool { _, _, err := value(k); return err == nil })
	if v, active, err := value(k); err != nil || active || v != 0 {
		t.Fatalf("no demand: value %v active %v error %v", v, active, err)
	}
	g.arrived.setRate(6)
	eventually(t, "active", func() bool { _, active, err := value(k); return err == nil && active })
	eventually(t, "4 replicas for 6 requests/s", func() bool { return replicasOf(k) == 4 })
}

func TestPushWakesFromZero(t *testing.T) {
	g := newGateway(t)
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 0), g, nil)
	p := push(t, s.grpc, "llm", rule(map[string]string{"demand": "gateway"}), nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	active := make(chan bool)
	go p.Run(ctx, active)
	specs := p.(scalers.MetricSpecStreamer).MetricSpecChan()
	select {
	case got := <-specs:
		want := p.GetMetricSpecForScaling(ctx)
		if len(got) != 1 || got[0].External.Metric.Name != want[0].External.Metric.Name ||
			!got[0].External.Target.AverageValue.Equal(*want[0].External.Target.AverageValue) {
			t.Fatalf("streamed %v, asked %v", got, want)
		}
	case <-time.After(deadline):
		t.Fatal("no streamed spec")
	}
	eventually(t, "known", func() bool { _, _, err := value(p); return err == nil })
	g.arrived.setRate(6)
	end := time.After(deadline)
	for {
		select {
		case on := <-active:
			if on {
				return
			}
		case <-end:
			t.Fatal("never pushed")
		}
	}
}

func TestBadMetadataIsInvalidArgument(t *testing.T) {
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 1), nil, nil)
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewExternalScalerClient(conn)
	cases := []struct {
		metadata map[string]string
		want     []string
	}{
		{map[string]string{"engine": "vllm", "capacty": "2"}, []string{"capacty", "capacity", "default/llm"}},
		{map[string]string{"engine": "vllm", "capacity": "two"}, []string{"capacity", "two"}},
		{map[string]string{"queue": "10"}, []string{"capacity"}},
		{map[string]string{"engine": "vlm", "capacity": "2"}, []string{"vlm", "vllm"}},
	}
	for _, c := range cases {
		ref := &pb.ScaledObjectRef{Name: "llm", Namespace: "default", ScalerMetadata: c.metadata}
		_, err := client.GetMetricSpec(context.Background(), ref)
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", c.metadata, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(status.Convert(err).Message(), w) {
				t.Errorf("%v: %q does not name %q", c.metadata, status.Convert(err).Message(), w)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	clientCert, clientKey := ca.leaf("keda")
	otherCert, otherKey := other.leaf("keda")
	for _, mutual := range []bool{false, true} {
		t.Run(fmt.Sprintf("mutual=%v", mutual), func(t *testing.T) {
			folder := t.TempDir()
			s := startScaler(t, folder, "", "workloads:\n"+workload("llm", 3), nil, ca.serverFiles(folder, mutual))
			good := map[string]string{"caCert": ca.pem}
			if mutual {
				good["tlsClientCert"], good["tlsClientKey"] = clientCert, clientKey
			}
			m := rule(map[string]string{"enableTLS": "true"})
			k := external(t, s.grpc, "llm", m, good)
			eventually(t, "3 over TLS", func() bool { return replicasOf(k) == 3 })

			bad := []map[string]string{{"caCert": other.pem}}
			if mutual {
				bad = append(bad, map[string]string{"caCert": ca.pem},
					map[string]string{"caCert": ca.pem, "tlsClientCert": otherCert, "tlsClientKey": otherKey})
			}
			for i, auth := range bad {
				if v, _, err := value(external(t, s.grpc, "llm", m, auth)); err == nil {
					t.Errorf("bad credentials %d: answered %v", i, v)
				}
			}
			if v, _, err := value(external(t, s.grpc, "llm", rule(nil), nil)); err == nil {
				t.Errorf("plain client of a TLS port: answered %v", v)
			}
			if n := replicasOf(k); n != 3 {
				t.Errorf("after the bad clients the good one reads %d", n)
			}
		})
	}
}

func TestServerRestart(t *testing.T) {
	folder, listen := t.TempDir(), freePort(t)
	s := startScaler(t, folder, listen, "workloads:\n"+workload("llm", 3), nil, nil)
	k := external(t, listen, "llm", rule(nil), nil)
	eventually(t, "3", func() bool { return replicasOf(k) == 3 })
	s.kill()
	if _, _, err := value(k); err == nil {
		t.Fatal("a killed server answered")
	}
	startScaler(t, folder, listen, "workloads:\n"+workload("llm", 5), nil, nil)
	eventually(t, "5 after the restart", func() bool { return replicasOf(k) == 5 })
}

func TestSixtyFourCallersOnOneConnection(t *testing.T) {
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 3), nil, nil)
	k := external(t, s.grpc, "llm", rule(nil), nil)
	eventually(t, "3", func() bool { return replicasOf(k) == 3 })
	var wg sync.WaitGroup
	var failed atomic.Int64
	for range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				if replicasOf(k) != 3 {
					failed.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	if failed.Load() != 0 {
		t.Fatalf("%d of 3,200 calls failed", failed.Load())
	}
}

func TestFiveHundredOpenStreams(t *testing.T) {
	var workloads strings.Builder
	workloads.WriteString("workloads:\n")
	const objects = 250 // two streams each: activity and spec
	for i := range objects {
		workloads.WriteString(workload(fmt.Sprintf("llm-%d", i), 1))
	}
	s := startScaler(t, t.TempDir(), "", workloads.String(), nil, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	var specs atomic.Int64
	for i := range objects {
		p := push(t, s.grpc, fmt.Sprintf("llm-%d", i), rule(nil), nil)
		active := make(chan bool)
		wg.Add(2)
		go func() { defer wg.Done(); p.Run(ctx, active) }()
		go func() {
			defer wg.Done()
			for range active {
			}
		}()
		go func() {
			if _, ok := <-p.(scalers.MetricSpecStreamer).MetricSpecChan(); ok {
				specs.Add(1)
			}
		}()
	}
	eventually(t, "a spec on each of 250 streams", func() bool { return specs.Load() == objects })
	k := external(t, s.grpc, "llm-7", rule(nil), nil)
	eventually(t, "a unary answer beside 500 streams", func() bool { return replicasOf(k) == 1 })
	cancel()
	wg.Wait()
}

func TestGracefulShutdownUnderLoad(t *testing.T) {
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 3), nil, nil)
	k := external(t, s.grpc, "llm", rule(nil), nil)
	eventually(t, "3", func() bool { return replicasOf(k) == 3 })

	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ref := &pb.ScaledObjectRef{Name: "llm", Namespace: "default", ScalerMetadata: rule(nil)}
	stream, err := pb.NewExternalScalerClient(conn).StreamIsActive(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	streamEnd := make(chan error, 1)
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				streamEnd <- err
				return
			}
		}
	}()

	var wg sync.WaitGroup
	var served, wrong atomic.Int64
	var first atomic.Value
	stop := make(chan struct{})
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, _, err := value(k)
				switch {
				case err == nil && v > 2 && v <= 3:
					served.Add(1)
				case err == nil:
					wrong.Add(1)
				case !strings.Contains(err.Error(), "connect: connection refused"):
					// A call that reached the server must be answered; only a new connection may fail.
					wrong.Add(1)
					first.CompareAndSwap(nil, err.Error())
				default:
					return
				}
			}
		}()
	}
	eventually(t, "load", func() bool { return served.Load() > 500 })
	s.terminate()
	close(stop)
	wg.Wait()
	if wrong.Load() != 0 {
		t.Fatalf("%d calls cut by a graceful shutdown, e.g. %v", wrong.Load(), first.Load())
	}
	if err := <-streamEnd; err.Error() != "EOF" {
		t.Fatalf("the stream ended with %v: KEDA would back off up to 60 s, EOF resets it", err)
	}
	t.Logf("%d calls served", served.Load())
}
