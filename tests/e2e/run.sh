#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD: KEDA's own client against the built programs. The Go test binary is built once into a cache
# outside the tree (GPUSCALE_CACHE, default ~/.cache/gpuscale), keyed by the sources and go.sum.
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

key=$(cat "$here"/keda/go.mod "$here"/keda/go.sum "$here"/keda/*_test.go | sha256sum | cut -c1-16)
test=$cache/keda-$key.test
if [ ! -x "$test" ]; then
    mkdir -p "$cache"
    echo "building KEDA's client (some 2,200 packages; minutes when nothing is cached)"
    (cd "$here/keda" && go test -c -o "$test.tmp" .)
    mv "$test.tmp" "$test"
fi
cd "$here/keda"
GPUSCALE_BUILD=$build exec "$test" -test.v -test.timeout 20m -test.count 1
