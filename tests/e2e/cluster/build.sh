#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh: builds the control plane of these tests (etcd, Kubernetes, KEDA, KWOK, metrics-server, helm) from Go modules and prints
# where its binaries are. Each module is built once into a cache outside the tree (GPUSCALE_CACHE, default ~/.cache/gpuscale), keyed by
# its go.mod and go.sum; cold that is some 28 CPU-minutes. The build flags are those of the Go tests beside these: what they compiled is used again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${GPUSCALE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gpuscale}
PATH=$PATH:/usr/local/go/bin

command -v go >/dev/null || {
    echo "the cluster tests need Go 1.26 or later (https://go.dev/dl): \`go\` is not on PATH" >&2
    exit 1
}
mkdir -p "$cache"
# One builder at a time; the others wait and find the work done.
exec 9>"$cache/cluster.lock"
flock 9

# What a released binary says of itself: helm, kubectl and charts read it.
kubernetes=$(sed -n 's/^.*k8s.io\/kubernetes \(v[0-9.]*\).*$/\1/p' "$here/plane/go.mod" | head -1)
minor=${kubernetes#v1.}
version=k8s.io/component-base/version
ldflags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"

# Builds the tools of the module $1 where they are not cached and prints their directory.
built() {
    key=$(cat "$here/$1/go.mod" "$here/$1/go.sum" "$here/build.sh" | sha256sum | cut -c1-16)
    out=$cache/cluster-$1-$key
    if [ ! -d "$out" ]; then
        echo "building the tools of tests/e2e/cluster/$1 into $out" >&2
        rm -rf "$out.tmp"
        mkdir -p "$out.tmp"
        if ! (cd "$here/$1" && nice go build -p 2 -ldflags="$ldflags" -o "$out.tmp/" tool) >"$out.log" 2>&1; then
            cat "$out.log" >&2
            echo "building the tools of tests/e2e/cluster/$1 failed (log above)" >&2
            exit 1
        fi
        if [ "$1" = keda ]; then
            crds=$(cd "$here/keda" && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
            mkdir "$out.tmp/crds"
            cp "$crds"/config/crd/bases/*.yaml "$out.tmp/crds/"
        elif [ "$1" = metrics ]; then
            cp -r "$(cd "$here/metrics" && go list -m -f '{{.Dir}}' sigs.k8s.io/metrics-server)/manifests/base" "$out.tmp/metrics-server-manifests"
        fi
        chmod -R u+w "$out.tmp"
        mv "$out.tmp" "$out"
        rm -f "$out.log"
    fi
    echo "$out"
}

for module in ${*:-plane keda helm kwok metrics}; do
    built "$module"
done
