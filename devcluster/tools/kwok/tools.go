//go:build tools

// Package tools names the programs this module is here to pin.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
