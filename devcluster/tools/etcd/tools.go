//go:build tools

// Package tools names the programs this module is here to pin.
package tools

import _ "go.etcd.io/etcd/server/v3"
