//go:build tools

// Package tools names the program this module is here to pin.
package tools

import _ "github.com/prometheus-operator/prometheus-operator/cmd/operator"
