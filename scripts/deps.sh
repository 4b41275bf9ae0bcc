#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages: `deps.sh run` what building and running need, `deps.sh test` what the
# tests need too. Asks apt only for what is missing; needs root or sudo only then.
set -eu

run="gcc libc6-dev make meson ninja-build pkg-config python3-minimal
    libuv1-dev libnghttp2-dev libssl-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
    libfyaml-dev libcurl4-openssl-dev libjansson-dev uthash-dev libxxhash-dev zlib1g-dev
    libcrypt-dev ca-certificates"
test="libcmocka-dev clang clang-format llvm libclang-rt-14-dev binutils git
    python3 python3-venv python3-pytest python3-pytest-xdist python3-grpcio python3-protobuf python3-prometheus-client python3-yaml
    curl openssl procps iproute2 util-linux libseccomp2 prometheus nginx nghttp2-client wrk hey faketime chromium fonts-dejavu-core"
# The tests of the page drive Chromium from node: the one that is there, or Debian's.
command -v node >/dev/null || test="$test nodejs"
command -v npm >/dev/null || test="$test npm"

case "${1:-}" in
run) wanted=$run ;;
test) wanted="$run $test" ;;
*)
    echo "usage: $0 run|test" >&2
    exit 2
    ;;
esac

missing=
for package in $wanted; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -q '^installed$' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || {
        echo "these packages are missing and need root to install:$missing" >&2
        exit 1
    }
fi

# Debian's nginx and prometheus start a service when installed: the tests start their own.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    made_policy=yes
fi
cleanup() {
    [ -z "$made_policy" ] || $as_root rm -f $policy
}
trap cleanup EXIT

echo "installing:$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >/dev/null
