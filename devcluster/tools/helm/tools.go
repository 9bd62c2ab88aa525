//go:build tools

// Package tools names the programs this module is here to pin.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
