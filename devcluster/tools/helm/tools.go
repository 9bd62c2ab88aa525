//go:build tools

// Package tools imports the programs, so that `go mod tidy` keeps their module in go.mod.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
