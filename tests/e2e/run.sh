#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD: KEDA's own client and logic, Kubernetes' own HPA controller, the kubelet's own pod-resources server, Prometheus' own text parser and real inference
# servers against what was built (the real control plane, cluster/, is run by tests/run.py). The Go test binaries are built once into a cache outside the tree (GPUSCALE_CACHE, default ~/.cache/gpuscale), keyed by
# the sources and go.sum; the servers are installed from PyPI into BUILD/engines (1 GB), once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
cache=${GPUSCALE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gpuscale}

PATH=$PATH:/usr/local/go/bin
if ! command -v go >/dev/null; then
    echo "the end-to-end tests need Go 1.26 or later (https://go.dev/dl): \`go\` is not on PATH"
    exit 1
fi
version=$(go env GOVERSION | sed 's/^go//')
case $version in
1.2[0-5]* | 1.1* | 1.[0-9] | 1.[0-9].*)
    echo "the end-to-end tests need Go 1.26 or later; this is $version"
    exit 1
    ;;
esac

# Builds the test binary of the module $1 where it is not cached; $2 says what takes so long.
built() {
    key=$(cat "$here/$1"/go.mod "$here/$1"/go.sum "$here/$1"/*.go | sha256sum | cut -c1-16)
    test=$cache/$1-$key.test
    if [ ! -x "$test" ]; then
        mkdir -p "$cache"
        echo "building $2"
        (cd "$here/$1" && go test -c -o "$test.tmp" .)
        mv "$test.tmp" "$test"
    fi
}

status=0
built textparse "Prometheus' text parser"
(cd "$here/textparse" && GPUSCALE_BUILD=$build "$test" -test.v -test.timeout 5m -test.count 1) || status=1
built keda "KEDA's client and its own logic (some 2,200 packages; minutes when nothing is cached)"
(cd "$here/keda" && GPUSCALE_BUILD=$build "$test" -test.v -test.timeout 20m -test.count 1) || status=1
built hpa "Kubernetes' HPA controller (minutes when nothing is cached)"
(cd "$here/hpa" && GPUSCALE_BUILD=$build "$test" -test.v -test.timeout 20m -test.count 1) || status=1
built kubelet "the kubelet's pod-resources server (a minute or two when nothing is cached)"
(cd "$here/kubelet" && GPUSCALE_BUILD=$build "$test" -test.v -test.timeout 5m -test.count 1) || status=1
echo "installing and running Ray Serve, KServe and TorchServe (minutes the first time)"
(cd "$here/engines" && GPUSCALE_BUILD=$build /usr/bin/python3 -m pytest -q -p no:cacheprovider .) || status=1
echo "running the programs under the container runtimes' seccomp profile (a Go module, not built)"
(cd "$here/confined" && GPUSCALE_BUILD=$build /usr/bin/python3 -m pytest -q -p no:cacheprovider .) || status=1
exit $status
