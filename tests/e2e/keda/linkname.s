// SPDX-License-Identifier: Apache-2.0
// Present so that loop_test.go may name a method of KEDA that is not exported (go:linkname).
