#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# coverage.sh [TARGET...]: how much of src/ each target's seeds, and what `make fuzz` found, reach. Prints
# "TARGET FILE REGIONS% LINES%". Builds into build-fuzz-coverage; CORPUS names another folder of corpora.
set -eu
cd "$(dirname "$0")/../.."
build=build-fuzz-coverage corpus=${CORPUS:-build-fuzz/corpus}
flags='-fprofile-instr-generate -fcoverage-mapping'
[ -d $build ] || CC=clang meson setup $build -Dfuzz=true -Db_lundef=false -Dc_args="$flags" \
    -Dc_link_args=-fprofile-instr-generate >/dev/null
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
ninja -C $build $(printf 'tests/fuzz/fuzz_%s ' "$@") >/dev/null
for target; do
    exe=$build/tests/fuzz/fuzz_$target out=$build/$target
    mkdir -p "$corpus/$target"
    LLVM_PROFILE_FILE=$out.profraw "$exe" -runs=0 -max_len=1000000 "$corpus/$target" \
        "tests/fuzz/corpus/$target" >"$out.log" 2>&1
    llvm-profdata merge -sparse "$out.profraw" -o "$out.profdata"
    # The columns of llvm-cov: file, regions, missed, %, functions, missed, %, lines, missed, %.
    llvm-cov report "$exe" -instr-profile="$out.profdata" | awk -v target="$target" '
        $1 ~ /src\/.*\.c$/ && $1 !~ /src\/base\// && $10 != "0.00%" {
            sub(/^.*src\//, "src/", $1); print target, $1, $4, $10 }'
done
