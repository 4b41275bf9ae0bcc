#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD SECONDS JOBS [TARGET...]: fuzzes each target of a build made with -Dfuzz=true for so
# long, JOBS at once. New inputs go to BUILD/corpus, what each run said to BUILD/logs; a finding stays
# in BUILD/findings and makes the exit status 1.
set -eu
build=$1 seconds=$2 jobs=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(cd "$here/corpus" && ls)
export build seconds here
# Undefined behaviour is a finding too: by default clang only prints it and goes on.
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
mkdir -p "$build/findings" "$build/logs"
printf '%s\n' "$@" | xargs -P "$jobs" -n 1 sh -c '
    log=$build/logs/$1.log dict=$here/dict/$1.dict
    mkdir -p "$build/corpus/$1"
    status=0
    "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -max_len=65536 -timeout=60 \
        -rss_limit_mb=2048 -print_final_stats=1 $([ ! -f "$dict" ] || echo "-dict=$dict") \
        -artifact_prefix="$build/findings/$1-" \
        "$build/corpus/$1" "$here/corpus/$1" >"$log" 2>&1 || status=1
    runs=$(sed -n "s/^stat::number_of_executed_units: *//p" "$log")
    echo "$1: ${runs:-0} runs, $(grep -o "cov: [0-9]*" "$log" | tail -1)$(
        [ $status = 0 ] || echo ", FOUND something: $log")"
    exit $status' run
