#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch.sh: prints the folders of the custom resource definitions that the chart's objects need beside KEDA's, from their Go modules
# (go.sum pins them; nothing is built).
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/local/go/bin
for part in cert-manager/cert-manager:deploy/crds prometheus-operator/prometheus-operator:example/prometheus-operator-crd; do
    module=github.com/${part%%:*}
    go mod download "$module"
    echo "$(go list -m -f '{{.Dir}}' "$module")/${part#*:}"
done
