// SPDX-License-Identifier: Apache-2.0

// KEDA logs through controller-runtime: silenced, failures speak for themselves.
package keda

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}
