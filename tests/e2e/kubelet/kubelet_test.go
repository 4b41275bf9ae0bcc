// SPDX-License-Identifier: Apache-2.0

// Package kubelet lets the kubelet's own pod-resources server, rate limit and all, answer the agent.
// What the server reads of the node (pods, device manager, CPU and memory managers, DRA) is the
// test's.
package kubelet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
	apisgrpc "k8s.io/kubernetes/pkg/kubelet/apis/grpc"
	"k8s.io/kubernetes/pkg/kubelet/apis/podresources"
)

const (
	deadline = 60 * time.Second
	whole    = "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10" // of ../../integration/pod_resources/node.csv
	shared   = "GPU-a1e5d3f7-6c42-4b8e-9f01-3d7c5b2e4a32"
)

// node is what the kubelet knows.
type node struct {
	mu      sync.Mutex
	pods    []*v1.Pod
	devices map[string][]*api.ContainerDevices // by pod
	claims  map[string][]*api.DynamicResource
}

func (n *node) add(name string, ids ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods = append(n.pods, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ml", UID: types.UID(name)},
		Spec: v1.PodSpec{InitContainers: []v1.Container{{Name: "download"}},
			Containers: []v1.Container{{Name: "main"}, {Name: "proxy"}}},
	})
	if len(ids) > 0 {
		n.devices[name] = []*api.ContainerDevices{{ResourceName: "nvidia.com/gpu", DeviceIds: ids,
			Topology: &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: 0}, {ID: 1}}}}}
	}
}

func (n *node) GetPods() []*v1.Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods
}
func (n *node) GetActivePods() []*v1.Pod                                  { return n.GetPods() }
func (n *node) GetPodByName(_, _ string) (*v1.Pod, bool)                  { return nil, false }
func (n *node) UpdateAllocatedDevices(klog.Logger)                        {}
func (n *node) GetCPUs(*v1.Pod, *v1.Container) []int64                    { return []int64{2, 3, 130} }
func (n *node) GetPodCPUs(string) []int64                                 { return []int64{2, 3, 130} }
func (n *node) GetAllocatableCPUs() []int64                               { return nil }
func (n *node) GetPodMemory(klog.Logger, string) []*api.ContainerMemory   { return nil }
func (n *node) GetAllocatableMemory(klog.Logger) []*api.ContainerMemory   { return nil }
func (n *node) GetAllocatableDevices(klog.Logger) []*api.ContainerDevices { return nil }
func (n *node) GetMemory(klog.Logger, *v1.Pod, *v1.Container) []*api.ContainerMemory {
	return []*api.ContainerMemory{{MemoryType: "memory", Size: 1 << 40}}
}
func (n *node) GetDevices(uid, container string) []*api.ContainerDevices {
	n.mu.Lock()
	defer n.mu.Unlock()
	if container != "main" {
		return nil
	}
	return n.devices[uid]
}
func (n *node) GetDynamicResources(_ klog.Logger, pod *v1.Pod, c *v1.Container) []*api.DynamicResource {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.Name != "main" {
		return nil
	}
	return n.claims[pod.Name]
}

// serve starts the kubelet's server on the socket; what it returns ends it.
func serve(t *testing.T, n *node, socket string) func() {
	t.Helper()
	ctx := context.Background()
	s := grpc.NewServer(apisgrpc.WithRateLimiter(ctx, "podresources", podresources.DefaultQPS, podresources.DefaultBurstTokens))
	api.RegisterPodResourcesListerServer(s, podresources.NewV1PodResourcesServer(ctx,
		podresources.PodResourcesProviders{Pods: n, Devices: n, Cpus: n, Memory: n, DynamicResources: n}))
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	return s.Stop
}

type agent struct {
	t   *testing.T
	log lockedBuffer
	url string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, socket string) *agent {
	t.Helper()
	a := &agent{t: t}
	here, _ := os.Getwd()
	cmd := exec.Command(filepath.Join(os.Getenv("GPUSCALE_BUILD"), "src/cmd/gpuscale-agent"), "--source",
		"replay:"+filepath.Join(here, "../../integration/pod_resources/node.csv"), "--interval", "100ms",
		"--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0",
		"--pod-resources", "on", "--pod-resources-socket", socket, "--pod-resources-interval", "1s")
	cmd.Stderr = &a.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent ended with %v\n%s", err, a.log.String())
		}
	})
	listening := regexp.MustCompile(`msg=listening server=metrics addr=(\S+)`)
	a.eventually("it listens", func() bool {
		m := listening.FindStringSubmatch(a.log.String())
		if m != nil {
			a.url = "http://" + m[1] + "/metrics"
		}
		return m != nil
	})
	return a
}

func (a *agent) eventually(what string, ok func() bool) {
	a.t.Helper()
	end := time.Now().Add(deadline)
	for !ok() {
		if time.Now().After(end) {
			a.t.Fatalf("not within %v: %s\n%s", deadline, what, a.log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// has says whether every one of these series is on the page.
func (a *agent) has(series ...string) bool {
	answer, err := http.Get(a.url)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	page, _ := io.ReadAll(answer.Body)
	for _, s := range series {
		if !strings.Contains(string(page), "\n"+s+"\n") {
			return false
		}
	}
	return true
}

func owner(gpu int, uuid, pod, more string) string {
	return fmt.Sprintf(`gpuscale_gpu_owner_info{gpu="%d",uuid="%s",namespace="ml",pod="%s",container="main"%s} 1`, gpu, uuid, pod, more)
}

func known(gpu int, uuid string, is int) string {
	return fmt.Sprintf(`gpuscale_gpu_owner_known{gpu="%d",uuid="%s"} %d`, gpu, uuid, is)
}

func TestTheKubeletsOwnServer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kubelet.sock")
	n := &node{devices: map[string][]*api.ContainerDevices{}, claims: map[string][]*api.DynamicResource{}}
	stop := serve(t, n, socket)
	a := start(t, socket)

	// It has no pod yet: nothing is known.
	a.eventually("a list without pods is no answer", func() bool {
		return strings.Contains(a.log.String(), "it lists no pod at all") && a.has(known(0, whole, 0))
	})
	n.add("web-0")
	n.add("vllm-0", whole)
	n.add("chat-a", shared+"::0")
	n.add("chat-b", shared+"::5")
	a.eventually("the pods' GPUs", func() bool {
		return a.has(owner(0, whole, "vllm-0", ""), owner(2, shared, "chat-a", `,replica="0"`),
			owner(2, shared, "chat-b", `,replica="5"`), "gpuscale_agent_pod_resources_pods 4",
			known(1, "GPU-7c2d4e88-0b1f-4c3a-8e6d-2a5b9c0d1f21", 1))
	})

	// A claimed device may be any GPU that nobody else holds.
	n.add("dra-0")
	n.mu.Lock()
	n.claims["dra-0"] = []*api.DynamicResource{{ClaimName: "dra-0-gpu", ClaimNamespace: "ml",
		ClaimResources: []*api.ClaimResource{{DriverName: "gpu.nvidia.com", PoolName: "node-a", DeviceName: "gpu-1"}}}}
	n.mu.Unlock()
	a.eventually("the claimed device", func() bool {
		return a.has("gpuscale_agent_pod_resources_claimed_devices 1", known(0, whole, 1),
			known(1, "GPU-7c2d4e88-0b1f-4c3a-8e6d-2a5b9c0d1f21", 0))
	})

	// Its rate limit counts everybody who asks.
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan struct{})
	for i := 0; i < 4; i++ {
		go func() {
			for {
				select {
				case <-ended:
					return
				default:
					api.NewPodResourcesListerClient(conn).List(context.Background(), &api.ListPodResourcesRequest{})
				}
			}
		}()
	}
	a.eventually("the rate limit is told", func() bool { return strings.Contains(a.log.String(), "rejected by rate limit") })
	close(ended)
	a.eventually("an answer after it", func() bool { return a.has("gpuscale_agent_pod_resources_up 1") })

	// It restarts with a new socket, and the pods that there are then.
	stop()
	os.Remove(socket)
	a.eventually("it is missed", func() bool { return a.has("gpuscale_agent_pod_resources_up 0", owner(0, whole, "vllm-0", "")) })
	fresh := &node{devices: map[string][]*api.ContainerDevices{}}
	fresh.add("vllm-1", whole)
	defer serve(t, fresh, socket)()
	a.eventually("the restarted kubelet's pod", func() bool {
		return a.has(owner(0, whole, "vllm-1", ""), "gpuscale_agent_pod_resources_pods 1", known(2, shared, 1))
	})
}
