// SPDX-License-Identifier: Apache-2.0

// Package hpa runs Kubernetes' own HorizontalPodAutoscaler controller on fake clients, and asks
// `gpuscale hpa` the same.
package hpa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	core "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	autoscalingapiv2 "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	cmapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	emapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"
	cmfake "k8s.io/metrics/pkg/client/custom_metrics/fake"
	emfake "k8s.io/metrics/pkg/client/external_metrics/fake"
)

// The methods of the controller that its workers call: one reconciliation at a time, at the moment
// that the test chooses.
//
//go:linkname reconcileAutoscaler k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).reconcileAutoscaler
func reconcileAutoscaler(a *podautoscaler.HorizontalController, ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, key string) error

//go:linkname enqueueHPA k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).enqueueHPA
func enqueueHPA(a *podautoscaler.HorizontalController, obj interface{})

//go:linkname deleteHPA k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).deleteHPA
func deleteHPA(a *podautoscaler.HorizontalController, obj interface{})

//go:linkname calculateRequests k8s.io/kubernetes/pkg/controller/podautoscaler.calculateRequests
func calculateRequests(pods []*v1.Pod, container string, name v1.ResourceName) (map[string]int64, error)

// The controller's memory; the layouts of its own types.
type timestampedRecommendation struct {
	recommendation int32
	timestamp      time.Time
}

type timestampedScaleEvent struct {
	replicaChange int32
	timestamp     time.Time
	outdated      bool
}

func field[T any](c *podautoscaler.HorizontalController, name string) *T {
	f := reflect.ValueOf(c).Elem().FieldByName(name)
	if !f.IsValid() || f.Type().Size() != reflect.TypeFor[T]().Size() {
		panic("the controller has changed: " + name)
	}
	return (*T)(unsafe.Pointer(f.UnsafeAddr()))
}

// Config are the flags of kube-controller-manager.
type Config struct {
	Tolerance                                 float64
	Window, CPUInitialization, ReadinessDelay time.Duration
}

// World is one controller and what its clients answer for the case at hand.
type World struct {
	Config     Config
	controller *podautoscaler.HorizontalController
	pods       informers.SharedInformerFactory
	now        *Case // the case at hand
	selector   string
	got        Answer
	updated    bool
	fakes      []*core.Fake // they remember every call until they are told to forget
}

// Answer is what a reconciliation did.
type Answer struct {
	Status  autoscalingv2.HorizontalPodAutoscalerStatus
	Rescale bool
	Scale   int32
	Reason  string // of the event SuccessfulRescale
	Failure string // the error of the reconciliation, without its frame
	History History
}

// Event implements record.EventRecorder.
func (w *World) Event(_ runtime.Object, _, reason, message string) {
	if reason == "FailedComputeMetricsReplicas" {
		w.got.Failure = message
	}
}

// Eventf implements record.EventRecorder.
func (w *World) Eventf(o runtime.Object, kind, reason, format string, args ...interface{}) {
	message := fmt.Sprintf(format, args...)
	if reason == "SuccessfulRescale" {
		_, w.got.Reason, _ = strings.Cut(message, "; reason: ")
	}
	w.Event(o, kind, reason, message)
}

// AnnotatedEventf implements record.EventRecorder.
func (w *World) AnnotatedEventf(o runtime.Object, _ map[string]string, kind, reason, format string, args ...interface{}) {
	w.Eventf(o, kind, reason, format, args...)
}

func (w *World) resourceMetrics() *metricsfake.Clientset {
	client := &metricsfake.Clientset{}
	w.fakes = append(w.fakes, &client.Fake)
	client.AddReactor("list", "pods", func(core.Action) (bool, runtime.Object, error) {
		c := w.now
		if c.podMetricsError != "" {
			return true, nil, errors.New(c.podMetricsError)
		}
		return true, &metricsapi.PodMetricsList{Items: c.podMetrics}, nil
	})
	return client
}

func (w *World) customMetrics() *cmfake.FakeCustomMetricsClient {
	client := &cmfake.FakeCustomMetricsClient{}
	w.fakes = append(w.fakes, &client.Fake)
	client.AddReactor("get", "*", func(action core.Action) (bool, runtime.Object, error) {
		get := action.(cmfake.GetForAction)
		list := &cmapi.MetricValueList{}
		if get.GetName() == "*" { // of pods
			v, ok := w.now.PodMetricValues[get.GetMetricName()]
			if ok && v.Error != "" {
				return true, nil, errors.New(v.Error)
			}
			for _, pod := range v.order {
				list.Items = append(list.Items, cmapi.MetricValue{
					DescribedObject: v1.ObjectReference{Kind: "Pod", Name: pod},
					Metric:          cmapi.MetricIdentifier{Name: get.GetMetricName()},
					Timestamp:       metav1.Now(),
					Value:           v.Values[pod],
				})
			}
			return true, list, nil
		}
		v := w.now.Object[get.GetMetricName()]
		if v.Error != "" {
			return true, nil, errors.New(v.Error)
		}
		list.Items = []cmapi.MetricValue{{
			DescribedObject: v1.ObjectReference{Name: get.GetName()},
			Timestamp:       metav1.Now(),
			Value:           v.Value,
		}}
		return true, list, nil
	})
	return client
}

func (w *World) externalMetrics() *emfake.FakeExternalMetricsClient {
	client := &emfake.FakeExternalMetricsClient{}
	w.fakes = append(w.fakes, &client.Fake)
	client.AddReactor("list", "*", func(action core.Action) (bool, runtime.Object, error) {
		v := w.now.External[action.GetResource().Resource]
		if v.Error != "" {
			return true, nil, errors.New(v.Error)
		}
		list := &emapi.ExternalMetricValueList{}
		for _, q := range v.Values {
			list.Items = append(list.Items, emapi.ExternalMetricValue{Timestamp: metav1.Now(), Value: q})
		}
		return true, list, nil
	})
	return client
}

func (w *World) scales() *scalefake.FakeScaleClient {
	client := &scalefake.FakeScaleClient{}
	w.fakes = append(w.fakes, &client.Fake)
	client.AddReactor("get", "*", func(core.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: "target"},
			Spec:       autoscalingv1.ScaleSpec{Replicas: w.now.Scale.Spec},
			Status:     autoscalingv1.ScaleStatus{Replicas: w.now.Scale.Status, Selector: w.selector},
		}, nil
	})
	client.AddReactor("update", "*", func(action core.Action) (bool, runtime.Object, error) {
		scale := action.(core.UpdateAction).GetObject().(*autoscalingv1.Scale)
		w.got.Rescale = true
		w.got.Scale = scale.Spec.Replicas
		return true, scale, nil
	})
	return client
}

// NewWorld makes a controller.
func NewWorld(config Config) *World {
	w := &World{Config: config, selector: "app=target"}
	client := &fake.Clientset{}
	client.AddReactor("update", "horizontalpodautoscalers", func(action core.Action) (bool, runtime.Object, error) {
		hpa := action.(core.UpdateAction).GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
		w.got.Status = hpa.Status
		w.updated = true
		return true, hpa, nil
	})
	w.pods = informers.NewSharedInformerFactory(client, 0)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	w.controller = podautoscaler.NewHorizontalController(
		context.Background(), client.CoreV1(), w.scales(), client.AutoscalingV2(), mapper,
		metrics.NewRESTMetricsClient(w.resourceMetrics().MetricsV1beta1(), w.customMetrics(), w.externalMetrics()),
		w.pods.Autoscaling().V2().HorizontalPodAutoscalers(), w.pods.Core().V1().Pods(),
		15*time.Second, config.Window, config.Tolerance, config.CPUInitialization, config.ReadinessDelay)
	*field[record.EventRecorder](w.controller, "eventRecorder") = w
	w.fakes = append(w.fakes, &client.Fake)
	return w
}

func (w *World) remember(key string, h *History, now time.Time) {
	if h == nil {
		return
	}
	at := func(ago float64) time.Time { return now.Add(-time.Duration(ago * float64(time.Second))) }
	var recommendations []timestampedRecommendation
	for _, r := range h.Recommendations {
		recommendations = append(recommendations, timestampedRecommendation{r.Replicas, at(r.SecondsAgo)})
	}
	(*field[map[string][]timestampedRecommendation](w.controller, "recommendations"))[key] = recommendations
	events := func(name string, list []Event) {
		var to []timestampedScaleEvent
		for _, e := range list {
			to = append(to, timestampedScaleEvent{e.Change, at(e.SecondsAgo), false})
		}
		(*field[map[string][]timestampedScaleEvent](w.controller, name))[key] = to
	}
	events("scaleUpEvents", h.ScaleUps)
	events("scaleDownEvents", h.ScaleDowns)
}

func (w *World) recall(key string, now time.Time) (h History) {
	for _, r := range (*field[map[string][]timestampedRecommendation](w.controller, "recommendations"))[key] {
		h.Recommendations = append(h.Recommendations, Recommendation{r.recommendation, now.Sub(r.timestamp).Seconds()})
	}
	events := func(name string) (list []Event) {
		for _, e := range (*field[map[string][]timestampedScaleEvent](w.controller, name))[key] {
			list = append(list, Event{e.replicaChange, now.Sub(e.timestamp).Seconds()})
		}
		return list
	}
	h.ScaleUps = events("scaleUpEvents")
	h.ScaleDowns = events("scaleDownEvents")
	return h
}

// Reconcile lets the controller decide the case, as of c.at, with the case's history or none.
func (w *World) Reconcile(c *Case) Answer {
	hpa := w.enter(c)
	w.remember(key(hpa), c.History, c.at)
	answer := w.Decide(c)
	w.Leave(c)
	return answer
}

func key(hpa *autoscalingv2.HorizontalPodAutoscaler) string { return hpa.Namespace + "/" + hpa.Name }

// The pods and the HPA as the controller's informers bring them.
func (w *World) enter(c *Case) *autoscalingv2.HorizontalPodAutoscaler {
	store := w.pods.Core().V1().Pods().Informer().GetStore()
	for i := range c.pods {
		if err := store.Add(&c.pods[i]); err != nil {
			panic(err)
		}
	}
	hpa := c.hpa.DeepCopy()
	autoscalingapiv2.SetDefaults_HorizontalPodAutoscaler(hpa)
	enqueueHPA(w.controller, hpa)
	return hpa
}

// Decide is one reconciliation, with what the controller remembers of the HPA.
func (w *World) Decide(c *Case) Answer {
	w.now, w.got, w.updated = c, Answer{}, false
	hpa := w.enter(c)
	err := reconcileAutoscaler(w.controller, context.Background(), hpa, key(hpa))
	if err != nil && w.got.Failure == "" { // some metrics failed, the others decided
		w.got.Failure = err.Error()
	}
	w.got.History = w.recall(key(hpa), c.at)
	if !w.updated {
		w.got.Status = hpa.Status
	}
	for _, f := range w.fakes {
		f.ClearActions()
	}
	return w.got
}

// Leave makes the controller forget the HPA.
func (w *World) Leave(c *Case) {
	deleteHPA(w.controller, c.hpa)
	for _, name := range []string{"scaleUpEvents", "scaleDownEvents"} {
		delete(*field[map[string][]timestampedScaleEvent](w.controller, name), key(c.hpa))
	}
	delete(*field[map[string][]timestampedRecommendation](w.controller, "recommendations"), key(c.hpa))
	store := w.pods.Core().V1().Pods().Informer().GetStore()
	for i := range c.pods {
		if err := store.Delete(&c.pods[i]); err != nil {
			panic(err)
		}
	}
}

// What Kubernetes says of the request of one pod; which of several it names, its maps decide.
func requestErrors(c *Case) (all []string) {
	for i := range c.pods {
		for _, m := range c.hpa.Spec.Metrics {
			name, container := v1.ResourceName("cpu"), ""
			switch {
			case m.Resource != nil:
				name = m.Resource.Name
			case m.ContainerResource != nil:
				name, container = m.ContainerResource.Name, m.ContainerResource.Container
			}
			if _, err := calculateRequests([]*v1.Pod{&c.pods[i]}, container, name); err != nil {
				all = append(all, err.Error())
			}
		}
		if _, err := calculateRequests([]*v1.Pod{&c.pods[i]}, "", "cpu"); err != nil {
			all = append(all, err.Error())
		}
	}
	// "... Pod pod-11" before "... Pod pod-1".
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// ---- The case as it is sent --------------------------------------------------------------------

// Recommendation is one of the controller's memory.
type Recommendation struct {
	Replicas   int32   `json:"replicas"`
	SecondsAgo float64 `json:"secondsAgo"`
}

// Event is a scale event.
type Event struct {
	Change     int32   `json:"change"`
	SecondsAgo float64 `json:"secondsAgo"`
}

// History is what the controller remembers of an HPA.
type History struct {
	Recommendations []Recommendation `json:"recommendations,omitempty"`
	ScaleUps        []Event          `json:"scaleUps,omitempty"`
	ScaleDowns      []Event          `json:"scaleDowns,omitempty"`
}

// Series are the values of an external metric, or the API's error.
type Series struct {
	Values []resource.Quantity
	Raw    []json.RawMessage
	Error  string
}

// MarshalJSON writes a list or {"error": ...}.
func (s Series) MarshalJSON() ([]byte, error) {
	if s.Error != "" {
		return json.Marshal(map[string]string{"error": s.Error})
	}
	if s.Raw == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(s.Raw)
}

// One is the value of an object metric, or the API's error.
type One struct {
	Value resource.Quantity
	Raw   json.RawMessage
	Error string
}

// MarshalJSON writes a value or {"error": ...}.
func (o One) MarshalJSON() ([]byte, error) {
	if o.Error != "" {
		return json.Marshal(map[string]string{"error": o.Error})
	}
	return o.Raw, nil
}

// OfPods are the values of a pods metric, or the API's error.
type OfPods struct {
	Values map[string]resource.Quantity
	Raw    map[string]json.RawMessage
	order  []string
	Error  string
}

// MarshalJSON writes {"POD": value} or {"error": ...}.
func (o OfPods) MarshalJSON() ([]byte, error) {
	if o.Error != "" {
		return json.Marshal(map[string]string{"error": o.Error})
	}
	if o.Raw == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(o.Raw)
}

// Scale is the target's.
type Scale struct {
	Spec   int32 `json:"spec"`
	Status int32 `json:"status"`
}

// Case is one for both.
type Case struct {
	HPA             json.RawMessage    `json:"hpa"`
	Pods            json.RawMessage    `json:"pods"`
	PodMetrics      json.RawMessage    `json:"podMetrics,omitempty"`
	PodMetricValues map[string]*OfPods `json:"podMetricValues,omitempty"`
	External        map[string]Series  `json:"external,omitempty"`
	Object          map[string]One     `json:"object,omitempty"`
	Scale           Scale              `json:"scale"`
	History         *History           `json:"history,omitempty"`
	Controller      map[string]any     `json:"controller"`
	Now             string             `json:"now"`

	at              time.Time
	hpa             *autoscalingv2.HorizontalPodAutoscaler
	pods            []v1.Pod
	podMetrics      []metricsapi.PodMetrics
	podMetricsError string
}

// Decode reads the objects back from what is sent, so that both sides see the same bytes.
func (c *Case) Decode() error {
	c.hpa = &autoscalingv2.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(c.HPA, c.hpa); err != nil {
		return err
	}
	c.pods = nil
	if err := json.Unmarshal(c.Pods, &c.pods); err != nil {
		return err
	}
	c.podMetrics, c.podMetricsError = nil, ""
	var failed struct{ Error string }
	if len(c.PodMetrics) > 0 && json.Unmarshal(c.PodMetrics, &failed) == nil {
		c.podMetricsError = failed.Error
		return nil
	}
	if len(c.PodMetrics) > 0 {
		return json.Unmarshal(c.PodMetrics, &c.podMetrics)
	}
	c.podMetricsError = "the case has no podMetrics"
	return nil
}
