// SPDX-License-Identifier: Apache-2.0

// KEDA's scale handler and executor (v2.21.0) on a fake cluster: activation, cooldown, idle replicas, fallback, cached
// metrics, formulas, pause; core/hpa/keda is told the same and must do the same, step by step.
//
// Not compared, because they are not the same thing on both sides:
//   - moments: KEDA's clock is the machine's and the API server cuts times to whole seconds; the test moves the stored times
//     back by 40 s and more and keeps every limit at least 20 s from where it would matter;
//   - counts of failures that are some calls behind: KEDA's loop and its metrics server each keep a copy of the ScaledObject until
//     a trigger fails; here both read it anew at every step;
//   - what the controller and not the loop does: HPA objects, paused-replicas setting the replicas (the loop only stands still);
//   - several values of one metric spec, several specs of one trigger (core/hpa/keda has one number a trigger);
//   - events, the metrics page, ScaledJobs, the condition HPAActive.
package keda

import (
	"context"
	"fmt"
	"math/rand"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers/authentication"
	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/kedacore/keda/v2/pkg/scaling"
	"github.com/kedacore/keda/v2/pkg/scaling/executor"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	v2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// One poll. KEDA's loop calls it at the polling interval; it is not exported.
//
//go:linkname checkScalers github.com/kedacore/keda/v2/pkg/scaling.(*scaleHandler).checkScalers
func checkScalers(handler unsafe.Pointer, ctx context.Context, object kedav1alpha1.ScalableObject, mutex sync.Locker)

const (
	loopCases   = 800
	loopSteps   = 10
	stepSeconds = 40 // and its multiples; limits stand at odd multiples of 20
)

// sample is what one trigger's scaler says in a step.
type sample struct {
	kind   string // ok, empty, spec, failed
	detail int    // which call fails, which field holds the value
	value  float64
	active bool
}

// script is an external scaler whose triggers say what the step wants.
type script struct {
	pb.UnimplementedExternalScalerServer
	mu      sync.Mutex
	samples []sample
	targets []float64
}

func (s *script) of(ref *pb.ScaledObjectRef) (sample, float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := strconv.Atoi(ref.ScalerMetadata["trigger"])
	return s.samples[i], s.targets[i]
}

var errScript = status.Error(codes.Unavailable, "not now")

func (s *script) GetMetricSpec(_ context.Context, ref *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	x, target := s.of(ref)
	if x.kind == "spec" && x.detail == 0 {
		return nil, errScript
	}
	if x.kind == "spec" {
		return &pb.GetMetricSpecResponse{}, nil
	}
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{{MetricName: "m", TargetSizeFloat: target}}}, nil
}

func (s *script) GetMetrics(_ context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	x, _ := s.of(r.ScaledObjectRef)
	switch {
	case x.kind == "failed" && x.detail == 0:
		return nil, errScript
	case x.kind == "empty":
		return &pb.GetMetricsResponse{}, nil
	case x.value == float64(int64(x.value)) && x.detail == 1:
		return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{MetricName: "m", MetricValue: int64(x.value)}}}, nil
	}
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{MetricName: "m", MetricValueFloat: x.value}}}, nil
}

func (s *script) IsActive(_ context.Context, ref *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	x, _ := s.of(ref)
	if x.kind == "failed" && x.detail == 1 {
		return nil, errScript
	}
	return &pb.IsActiveResponse{Result: x.active}, nil
}

func startScript(t *testing.T) (*script, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &script{}, grpc.NewServer()
	pb.RegisterExternalScalerServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return s, listener.Addr().String()
}

// trial is one ScaledObject, its cluster and our twin of it.
type trial struct {
	t       *testing.T
	r       *rand.Rand
	l       *logic
	script  *script
	so      *kedav1alpha1.ScaledObject
	words   string // the object, as keda_logic reads it
	cluster client.WithWatch
	scales  *scalefake.FakeScaleClient
	handler scaling.ScaleHandler
	looped  *kedav1alpha1.ScaledObject // the copy that KEDA's loop keeps
	exec    executor.ScaleExecutor
	elapsed int64 // seconds since it was made
	hpa     bool
	log     []string
}

const where = "default"

func (x *trial) pick(options ...string) string { return options[x.r.Intn(len(options))] }

// milli is a number of whole thousandths.
func milli(n int) float64 { return float64(n) / 1000 }

func int32p(n int) *int32 { v := int32(n); return &v }

// draw makes a ScaledObject that KEDA would accept, most of the time, and the words for it.
func (x *trial) draw(addr string) {
	r := x.r
	so := &kedav1alpha1.ScaledObject{ObjectMeta: metav1.ObjectMeta{Name: "so", Namespace: where, Generation: 1, UID: "u"}}
	so.Spec.ScaleTargetRef = &kedav1alpha1.ScaleTarget{Name: "target"}
	so.Spec.PollingInterval = int32p(3600)
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	n, formula := 1+r.Intn(3), r.Intn(4) == 0
	var triggers []string
	x.script.targets = nil
	for i := range n {
		target := []int{1000, 2500, 10000, 55000, 333}[r.Intn(5)]
		metricType := x.pick("AverageValue", "AverageValue", "Value")
		cached := r.Intn(5) == 0
		x.script.targets = append(x.script.targets, milli(target))
		trigger := kedav1alpha1.ScaleTriggers{Name: fmt.Sprintf("t%d", i), Type: "external", UseCachedMetrics: cached,
			MetricType: v2.MetricTargetType(metricType),
			Metadata:   map[string]string{"scalerAddress": addr, "trigger": strconv.Itoa(i)}}
		kind := "ext"
		if r.Intn(8) == 0 {
			kind, cached = "cpu", false
			trigger.Type, trigger.UseCachedMetrics, trigger.MetricType = "cpu", false, v2.UtilizationMetricType
			trigger.Metadata = map[string]string{"value": "60"}
		} else {
			so.Status.ExternalMetricNames = append(so.Status.ExternalMetricNames, fmt.Sprintf("s%d-m", i))
		}
		so.Spec.Triggers = append(so.Spec.Triggers, trigger)
		triggers = append(triggers, fmt.Sprintf("%s:%s:%d:%d", kind, metricType, target, map[bool]int{true: 1}[cached]))
	}
	add("triggers=%s", strings.Join(triggers, ","))
	if r.Intn(4) > 0 {
		v := r.Intn(4)
		so.Spec.MinReplicaCount = int32p(v)
		add("min=%d", v)
		if v > 0 && r.Intn(3) == 0 {
			idle := r.Intn(v)
			so.Spec.IdleReplicaCount = int32p(idle)
			add("idle=%d", idle)
		}
	}
	if r.Intn(2) == 0 {
		so.Spec.MaxReplicaCount = int32p(8)
		add("max=8")
	}
	if v := []int{0, 20, 60, 100}[r.Intn(4)]; v > 0 {
		so.Spec.CooldownPeriod = int32p(v)
		add("cooldown=%d", v)
	}
	if v := []int{0, 20, 100}[r.Intn(3)]; v > 0 {
		so.Spec.InitialCooldownPeriod = int32p(v)
		add("initial=%d", v)
	}
	if r.Intn(2) == 0 {
		behavior := x.pick("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower")
		if formula && r.Intn(2) == 0 {
			behavior = "scalingModifiers"
		}
		so.Spec.Fallback = &kedav1alpha1.Fallback{FailureThreshold: int32(r.Intn(4)), Replicas: int32(r.Intn(6)), Behavior: behavior}
		add("threshold=%d fallback=%d behavior=%s", so.Spec.Fallback.FailureThreshold, so.Spec.Fallback.Replicas, behavior)
	}
	so.Annotations = map[string]string{}
	var annotations []string
	for _, key := range []string{"paused", "paused-replicas", "paused-scale-in", "paused-scale-out", "force-activation"} {
		if r.Intn(14) == 0 {
			value := x.pick("true", "false", "1", "yes")
			if key == "paused-replicas" {
				value = strconv.Itoa(r.Intn(4))
			}
			so.Annotations["autoscaling.keda.sh/"+key] = value
			annotations = append(annotations, "autoscaling.keda.sh/"+key+":"+value)
		}
	}
	if len(annotations) > 0 {
		add("annotations=%s", strings.Join(annotations, ","))
	}
	if formula {
		x.drawFormula(so, add)
	}
	x.so, x.words = so, strings.Join(words, " ")
}

func (x *trial) drawFormula(so *kedav1alpha1.ScaledObject, add func(string, ...any)) {
	var names []string
	for _, t := range so.Spec.Triggers {
		if t.Type == "external" {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	a, b := names[0], names[len(names)-1]
	text := x.pick(a+" + "+b, "max("+a+", "+b+")", a+" ?? 5", "("+a+" ?? 2) + ("+b+" ?? 3)", a+" > 2 ? "+b+" : 1.5", a+" / "+b,
		a+" - "+b)
	modifiers := kedav1alpha1.ScalingModifiers{Formula: text, Target: x.pick("1", "2.5", "10"),
		ActivationTarget: x.pick("", "", "0", "3", "2.5"), MetricType: v2.MetricTargetType(x.pick("AverageValue", "Value"))}
	so.Spec.Advanced = &kedav1alpha1.AdvancedConfig{ScalingModifiers: modifiers}
	so.Status.CompositeScalerName = "composite-metric"
	add("target=%s type=%s", modifiers.Target, modifiers.MetricType)
	if modifiers.ActivationTarget != "" {
		add("activation=%s", modifiers.ActivationTarget)
	}
	add("text=%s", text) // last
}

func testScheme(t *testing.T) *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, kedav1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// settle puts the object, its Deployment, pods and HPA into a cluster of their own.
func (x *trial) settle(s *runtime.Scheme) {
	x.so.Status.ScaleTargetKind = "apps/v1.Deployment"
	x.so.Status.ScaleTargetGVKR = &kedav1alpha1.GroupVersionKindResource{Group: "apps", Version: "v1", Kind: "Deployment",
		Resource: "deployments"}
	x.so.Status.HpaName = "hpa"
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "target", Namespace: where},
		Spec: appsv1.DeploymentSpec{Replicas: int32p(x.r.Intn(4))}}
	hpa := &v2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "hpa", Namespace: where}}
	age := func(o client.Object) {
		if so, ok := o.(*kedav1alpha1.ScaledObject); ok {
			so.CreationTimestamp = metav1.NewTime(time.Now().Add(-time.Duration(x.elapsed) * time.Second))
		}
	}
	get := func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		err := c.Get(ctx, key, o, opts...)
		age(o)
		return err
	}
	patch := func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch,
		opts ...client.SubResourcePatchOption) error {
		err := c.SubResource(sub).Patch(ctx, o, p, opts...)
		age(o)
		return err
	}
	x.cluster = fake.NewClientBuilder().WithScheme(s).WithObjects(x.so, deployment, hpa).
		WithStatusSubresource(x.so, hpa).WithInterceptorFuncs(interceptor.Funcs{Get: get, SubResourcePatch: patch}).Build()
	x.scales = &scalefake.FakeScaleClient{}
	x.scales.AddReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "target", Namespace: where},
			Spec:   autoscalingv1.ScaleSpec{Replicas: x.replicas()},
			Status: autoscalingv1.ScaleStatus{Selector: "app=x"}}, nil
	})
	x.scales.AddReactor("update", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		scale := a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		x.setReplicas(scale.Spec.Replicas)
		return true, scale, nil
	})
	recorder := events.NewFakeRecorder(1 << 16)
	x.handler = scaling.NewScaleHandler(x.cluster, x.scales, s, time.Second, time.Second, recorder, &authentication.AuthClientSet{})
	x.exec = executor.NewScaleExecutor(x.cluster, x.scales, s, time.Second, recorder)
	x.looped = x.so.DeepCopy()
}

func (x *trial) get(o client.Object, name string) {
	if err := x.cluster.Get(context.Background(), client.ObjectKey{Namespace: where, Name: name}, o); err != nil {
		x.t.Fatal(err)
	}
}

func (x *trial) replicas() int32 {
	d := &appsv1.Deployment{}
	x.get(d, "target")
	return *d.Spec.Replicas
}

func (x *trial) setReplicas(n int32) {
	d := &appsv1.Deployment{}
	x.get(d, "target")
	d.Spec.Replicas = &n
	if err := x.cluster.Update(context.Background(), d); err != nil {
		x.t.Fatal(err)
	}
}

func (x *trial) status() *kedav1alpha1.ScaledObject {
	so := &kedav1alpha1.ScaledObject{}
	x.get(so, "so")
	return so
}

func (x *trial) putStatus(o client.Object) {
	if err := x.cluster.Status().Update(context.Background(), o); err != nil {
		x.t.Fatal(err)
	}
}

// wait lets seconds pass: what KEDA stored becomes older.
func (x *trial) wait(seconds int64) {
	x.elapsed += seconds
	so := x.status()
	if so.Status.LastActiveTime != nil {
		so.Status.LastActiveTime = &metav1.Time{Time: so.Status.LastActiveTime.Add(-time.Duration(seconds) * time.Second)}
		x.putStatus(so)
	}
}

// forget makes KEDA read the ScaledObject again: its two paths each keep a copy, which may be some calls behind.
func (x *trial) forget() {
	if err := x.handler.ClearScalersCache(context.Background(), x.so); err != nil {
		x.t.Fatal(err)
	}
}

func (x *trial) setReady(n int) {
	ctx := context.Background()
	if err := x.cluster.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(where)); err != nil {
		x.t.Fatal(err)
	}
	for i := range n + 1 { // one is not ready
		ready := corev1.ConditionTrue
		if i == n {
			ready = corev1.ConditionFalse
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: where,
			Labels: map[string]string{"app": "x"}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning,
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
		if err := x.cluster.Create(ctx, pod); err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *trial) setHPA(active bool) {
	x.hpa = active
	hpa := &v2.HorizontalPodAutoscaler{}
	x.get(hpa, "hpa")
	state := corev1.ConditionFalse
	if active {
		state = corev1.ConditionTrue
	}
	hpa.Status.Conditions = []v2.HorizontalPodAutoscalerCondition{{Type: v2.ScalingActive, Status: state}}
	x.putStatus(hpa)
}

func (x *trial) drawSamples() string {
	var words []string
	x.script.mu.Lock()
	defer x.script.mu.Unlock()
	x.script.samples = nil
	for range x.so.Spec.Triggers {
		s := sample{kind: x.pick("ok", "ok", "ok", "ok", "ok", "empty", "spec", "failed", "failed", "failed"), detail: x.r.Intn(2),
			value: []float64{0, 1, 3, milli(x.r.Intn(40000)), float64(x.r.Intn(200)), -2, 1e12}[x.r.Intn(7)], active: x.r.Intn(2) == 0}
		x.script.samples = append(x.script.samples, s)
		value := s.value
		if value < 0 && s.detail == 0 {
			value = 0 // a float is taken when it is above 0, and the integer is not there
		}
		active := map[bool]int{true: 1}[s.active]
		words = append(words, fmt.Sprintf("%s:%s:%d", s.kind, strconv.FormatFloat(value, 'g', 17, 64), active))
	}
	return strings.Join(words, ",")
}

func condition(conditions kedav1alpha1.Conditions, kind kedav1alpha1.ConditionType) string {
	for _, c := range conditions {
		if c.Type == kind {
			return string(c.Status) + "/" + c.Reason
		}
	}
	return "none"
}

func reason(conditions kedav1alpha1.Conditions) string {
	_, word, _ := strings.Cut(condition(conditions, kedav1alpha1.ConditionActive), "/")
	if word == "" {
		return "none"
	}
	return word
}

func (x *trial) isPaused() bool { return x.so.NeedToBePausedByAnnotation() }

// kept is what KEDA keeps, in keda_logic's words.
func (x *trial) kept(so *kedav1alpha1.ScaledObject) string {
	var failures []string
	for i := range so.Spec.Triggers {
		n := int32(0)
		if h, ok := so.Status.Health[fmt.Sprintf("s%d-m", i)]; ok && h.NumberOfFailures != nil {
			n = *h.NumberOfFailures
		}
		failures = append(failures, strconv.Itoa(int(n)))
	}
	ago := "never"
	if so.Status.LastActiveTime != nil {
		seconds := int64(time.Since(so.Status.LastActiveTime.Time).Seconds())
		ago = strconv.FormatInt((seconds+stepSeconds/4)/(stepSeconds/2)*(stepSeconds/2), 10)
	}
	return "failures=" + strings.Join(failures, ",") + " ago=" + ago
}

func scaled(before, after int32) string {
	if before == after {
		return "-1"
	}
	return strconv.Itoa(int(after))
}

func (x *trial) activeBits(activity map[string]kedav1alpha1.TriggerActivityStatus) uint32 {
	bits := uint32(0)
	for i := range x.so.Spec.Triggers {
		if activity[fmt.Sprintf("s%d-m", i)].IsActive {
			bits |= 1 << i
		}
	}
	return bits
}

func (x *trial) poll() string {
	before := x.replicas()
	handler := (*[2]unsafe.Pointer)(unsafe.Pointer(&x.handler))[1]
	checkScalers(handler, context.Background(), x.looped, &sync.Mutex{})
	so := x.status()
	active := reason(so.Status.Conditions)
	if x.isPaused() {
		active = "none"
	}
	return fmt.Sprintf("scale=%s ready=%s active=%s triggers=%d %s", scaled(before, x.replicas()),
		condition(so.Status.Conditions, kedav1alpha1.ConditionReady), active, x.activeBits(so.Status.TriggersActivity), x.kept(so))
}

// push is what startPushScalers does with a true: RequestScale, and the time of the activity is stored.
func (x *trial) push(trigger int) string {
	before, so := x.replicas(), x.status()
	metric := fmt.Sprintf("s%d-m", trigger)
	so.Status.TriggersActivity = nil // so that only this one is told
	result := x.exec.RequestScale(context.Background(), so, true, false,
		executor.ScaleExecutorOptions{ForPushScalerMetric: metric, ActiveTriggers: []string{metric}})
	if result.Error != nil {
		x.t.Fatal(result.Error)
	}
	if result.LastActiveTime != nil {
		fresh := x.status()
		fresh.Status.LastActiveTime = result.LastActiveTime
		x.putStatus(fresh)
	}
	return fmt.Sprintf("scale=%s ready=%s active=%s triggers=%d %s", scaled(before, x.replicas()),
		condition(result.Conditions, kedav1alpha1.ConditionReady), reason(result.Conditions), x.activeBits(result.TriggersActivity),
		x.kept(x.status()))
}

func (x *trial) answer(name string) string {
	list, err := x.handler.GetScaledObjectMetrics(context.Background(), "so", where, name)
	word := ""
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "encountered error"):
		word = "refused=error"
	case err != nil && strings.HasPrefix(err.Error(), "no matching metrics"):
		word = "refused=none"
	case err != nil:
		x.t.Fatal(err)
	case len(list.Items) == 0:
		word = "refused=formula"
	case len(list.Items) == 1:
		word = fmt.Sprintf("value=%d", list.Items[0].Value.MilliValue())
	default:
		word = fmt.Sprintf("%d items", len(list.Items))
	}
	return word + " " + x.kept(x.status())
}

// step does one random thing to both; false: they differ.
func (x *trial) step(tally map[string]int) bool {
	x.wait(stepSeconds * int64(1+x.r.Intn(3)))
	if x.r.Intn(5) == 0 {
		x.setReplicas(int32(x.r.Intn(5)))
	}
	if x.r.Intn(5) == 0 {
		x.setHPA(!x.hpa)
	}
	ready := x.r.Intn(4)
	x.setReady(ready)
	samples := x.drawSamples()
	x.forget()
	state := fmt.Sprintf("now=%d replicas=%d ready=%d hpa=%d samples=%s", x.elapsed, x.replicas(), ready,
		map[bool]int{true: 1}[x.hpa], samples)
	var ask, theirs string
	switch k := x.r.Intn(10); {
	case k < 6 || len(x.so.Status.ExternalMetricNames) == 0:
		ask, theirs = "poll "+state, x.poll()
	case k < 7:
		trigger, _ := strconv.Atoi(x.external()[1:2])
		ask, theirs = fmt.Sprintf("push %s trigger=%d", state, trigger), x.push(trigger)
	default:
		name, trigger := x.external(), -1
		if x.so.IsUsingModifiers() {
			name = "composite-metric"
		} else {
			trigger, _ = strconv.Atoi(name[1:2])
		}
		ask, theirs = fmt.Sprintf("answer %s trigger=%d", state, trigger), x.answer(name)
	}
	ours := x.l.ask("%s", ask)
	if x.isPaused() {
		ours = x.withoutPausedReplicas(ours)
	}
	x.log = append(x.log, ask, "  KEDA "+theirs, "  ours "+ours)
	count(tally, ask, theirs)
	return ours == theirs
}

func (x *trial) external() string {
	names := x.so.Status.ExternalMetricNames
	return names[x.r.Intn(len(names))]
}

// withoutPausedReplicas: it is the controller that sets them, not the loop.
func (x *trial) withoutPausedReplicas(line string) string {
	if rest, ok := strings.CutPrefix(line, "scale="); ok {
		_, rest, _ = strings.Cut(rest, " ")
		return "scale=-1 " + rest
	}
	return line
}

// count says what was seen, so that a comparison of nothing shows.
func count(tally map[string]int, ask, theirs string) {
	kind, _, _ := strings.Cut(ask, " ")
	tally[kind]++
	for _, word := range strings.Fields(theirs) {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case key == "scale" && value != "-1":
			tally["scales"]++
		case key == "ready" || key == "active" || key == "refused":
			tally[value]++
		case key == "failures" && strings.Trim(value, "0,") != "":
			tally["failures"]++
		}
	}
}

func TestKEDAsLoopDoesWhatOursDoes(t *testing.T) {
	l, r, s := startLogic(t), seeded(t), testScheme(t)
	script, addr := startScript(t)
	tally := map[string]int{}
	for i := range loopCases {
		x := &trial{t: t, r: r, l: l, script: script}
		x.draw(addr)
		if word := l.ask("object %s", x.words); word != "ok" {
			tally["refused objects"]++
			continue
		}
		x.settle(s)
		for range 1 + r.Intn(loopSteps) {
			if !x.step(tally) {
				t.Fatalf("case %d: %s\n%s", i, x.words, strings.Join(x.log, "\n"))
			}
		}
	}
	t.Logf("%v", tally)
	for _, word := range []string{"scales", "failures", "error", "none", "ScalerActive", "ScalerNotActive", "ScalerCooldown",
		"True/ScaledObjectReady", "False/TriggerError", "Unknown/PartialTriggerError", "push", "answer"} {
		if tally[word] < 20 {
			t.Errorf("%q was seen %d times: the comparison says little about it", word, tally[word])
		}
	}
}
