#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD SECONDS [TARGET...]: fuzzes each target of a build made with -Dfuzz=true for so long.
# New inputs go to BUILD/corpus; a finding stays in BUILD/findings and makes the exit status 1.
set -eu
build=$1 seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(cd "$here/corpus" && ls)
status=0
for target; do
    mkdir -p "$build/corpus/$target" "$build/findings"
    echo "== $target, $seconds s"
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$build/findings/$target-" \
        "$build/corpus/$target" "$here/corpus/$target" || status=1
done
exit $status
