#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch.sh [targets]: prints the folders of the custom resource definitions that the chart's objects need beside KEDA's, or the files of
# those that are scaled as targets, from their Go modules (go.sum pins them; nothing is built).
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/local/go/bin
if [ "${1-}" = targets ]; then
    parts="github.com/argoproj/argo-rollouts:manifests/crds/rollout-crd.yaml
        sigs.k8s.io/lws:config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"
else
    parts="github.com/cert-manager/cert-manager:deploy/crds
        github.com/prometheus-operator/prometheus-operator:example/prometheus-operator-crd"
fi
for part in $parts; do
    go mod download "${part%%:*}"
    echo "$(go list -m -f '{{.Dir}}' "${part%%:*}")/${part#*:}"
done
