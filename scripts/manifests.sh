#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# manifests.sh HELM DIR: renders the plain manifests of deploy/manifests from the chart into DIR.
set -eu
helm=$1
out=$2
chart=$(dirname "$0")/../deploy/helm/gpuscale

render() {
    file=$1
    shift
    {
        echo "# SPDX-License-Identifier: Apache-2.0"
        echo "# $file: rendered from deploy/helm/gpuscale by \`make manifests\`; change the chart, not this."
        echo "#   helm template gpuscale deploy/helm/gpuscale --namespace gpuscale $*"
        "$helm" template gpuscale "$chart" --namespace gpuscale "$@"
    } >"$out/$file"
}

mkdir -p "$out"
render gpuscale.yaml --set namespace.create=true
render gpuscale-exporter.yaml --set namespace.create=true,agent.gpuAccess=none \
    --set 'scaler.config.exporters.targets={nvidia-dcgm-exporter.gpu-operator.svc:9400}'
render monitoring.yaml --show-only templates/monitoring.yaml \
    --set monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true \
    --set monitoring.prometheusRule.enabled=true,monitoring.dashboards.enabled=true
