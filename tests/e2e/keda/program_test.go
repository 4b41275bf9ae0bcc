// SPDX-License-Identifier: Apache-2.0

// Spawns the scaler and plays its engines and its gateway.
package keda

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const deadline = 60 * time.Second

// eventually polls until ok() or the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// rampCounter is a counter that grows at a rate that tests change.
type rampCounter struct {
	mu   sync.Mutex
	base float64
	rate float64
	at   time.Time
}

func (c *rampCounter) value() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.at.IsZero() {
		c.base += c.rate * now.Sub(c.at).Seconds()
	}
	c.at = now
	return c.base
}

func (c *rampCounter) setRate(perSecond float64) {
	c.value()
	c.mu.Lock()
	c.rate = perSecond
	c.mu.Unlock()
}

// engine is one pod's vLLM page.
type engine struct {
	*httptest.Server
	finished rampCounter
}

func newEngine(t *testing.T) *engine {
	e := &engine{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.1
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} %v
`, e.finished.value())
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *engine) hostPort() string { return strings.TrimPrefix(e.URL, "http://") }

// gateway is a demand source: what exists while no pod does.
type gateway struct {
	*httptest.Server
	arrived rampCounter
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE gateway_requests_total counter\ngateway_requests_total{service=\"llm\"} %v\n",
			g.arrived.value())
	}))
	t.Cleanup(g.Close)
	return g
}

// scaler is the program under test.
type scaler struct {
	t      *testing.T
	cmd    *exec.Cmd
	folder string
	grpc   string
	mu     sync.Mutex
	log    []string
	exited chan error
}

type scalerFiles struct{ cert, key, ca string }

func binary(t *testing.T) string {
	build := os.Getenv("GPUSCALE_BUILD")
	if build == "" {
		t.Fatal("GPUSCALE_BUILD must name the build folder")
	}
	return filepath.Join(build, "src", "cmd", "gpuscale")
}

// startScaler writes the two files and starts the program; `listen` "" lets the kernel pick.
func startScaler(t *testing.T, folder, listen, workloads string, g *gateway, tls *scalerFiles) *scaler {
	t.Helper()
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	s := &scaler{t: t, folder: folder, exited: make(chan error, 1)}
	s.setWorkloads(workloads)
	config := fmt.Sprintf("grpc:\n  listen: %q\n", listen)
	if tls != nil {
		config += fmt.Sprintf("  tls: {cert: %q, key: %q", tls.cert, tls.key)
		if tls.ca != "" {
			config += fmt.Sprintf(", ca: %q", tls.ca)
		}
		config += "}\n"
	}
	config += "http: {listen: \"127.0.0.1:0\"}\nhealth: {listen: \"127.0.0.1:0\"}\n"
	config += fmt.Sprintf("workloads: %q\n", filepath.Join(folder, "workloads.yaml"))
	if g != nil {
		config += fmt.Sprintf("demand:\n  gateway: {url: %q, requestsTotal: 'gateway_requests_total{service=\"llm\"}'}\n",
			g.URL+"/metrics")
	}
	path := filepath.Join(folder, "scaler.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(binary(t), "scaler", "--config", path)
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	read := make(chan struct{})
	listening := regexp.MustCompile(`msg=listening .*server=grpc .*addr=(\S+)|msg=listening .*addr=(\S+) .*server=grpc`)
	go func() {
		defer close(read)
		for scan := bufio.NewScanner(pipe); scan.Scan(); {
			line := scan.Text()
			s.mu.Lock()
			s.log = append(s.log, line)
			s.mu.Unlock()
			if m := listening.FindStringSubmatch(line); m != nil {
				ready <- m[1] + m[2]
			}
		}
	}()
	go func() { <-read; s.exited <- s.cmd.Wait() }()
	t.Cleanup(s.kill)
	select {
	case s.grpc = <-ready:
	case err := <-s.exited:
		s.exited <- err
		t.Fatalf("the scaler ended: %v\n%s", err, s.logText())
	case <-time.After(deadline):
		t.Fatalf("the scaler does not listen\n%s", s.logText())
	}
	return s
}

func (s *scaler) setWorkloads(text string) {
	s.t.Helper()
	path := filepath.Join(s.folder, "workloads.yaml")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scaler) logText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, "\n")
}

// terminate sends SIGTERM and demands a clean end.
func (s *scaler) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		if err != nil {
			s.t.Fatalf("exit after SIGTERM: %v\n%s", err, s.logText())
		}
	case <-time.After(deadline):
		s.t.Fatalf("still running after SIGTERM\n%s", s.logText())
	}
}

func (s *scaler) kill() {
	_ = s.cmd.Process.Kill()
	select {
	case err := <-s.exited:
		s.exited <- err
	case <-time.After(deadline):
	}
	if s.t.Failed() {
		s.t.Logf("scaler's log:\n%s", s.logText())
	}
}

// workload renders one workload of the workloads file; pods are HOST:PORT of engines, all ready.
func workload(name string, replicas int, pods ...string) string {
	out := fmt.Sprintf("- namespace: default\n  target: deployment/%s\n  scaledObjects: [%s]\n  replicas: %d\n  pods:\n",
		name, name, replicas)
	if len(pods) == 0 {
		return strings.Replace(out, "  pods:\n", "  pods: []\n", 1)
	}
	for i, addr := range pods {
		out += fmt.Sprintf("  - {name: %s-%d, state: ready, address: %q}\n", name, i, addr)
	}
	return out
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
