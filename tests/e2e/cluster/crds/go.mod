module gpuscale.dev/tests/e2e/cluster/crds

go 1.26.0

// Nothing is built of these: their custom resource definitions are applied.
require (
	github.com/argoproj/argo-rollouts v1.8.5
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/lws v0.8.0
)
