//go:build tools

// Package tools imports the programs, so that `go mod tidy` keeps their module in go.mod.
package tools

import _ "github.com/helm/chart-testing/v3/ct"
