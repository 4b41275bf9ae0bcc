// SPDX-License-Identifier: Apache-2.0
// Empty: its presence lets the Go compiler take functions without bodies (controller.go).
