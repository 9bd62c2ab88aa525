module kconsumer-group-operator/devcluster/parts/prometheus-operator

go 1.26

// Nothing is built from it: only its CRDs are read, from the module's own folder.
require github.com/prometheus-operator/prometheus-operator v0.85.0
