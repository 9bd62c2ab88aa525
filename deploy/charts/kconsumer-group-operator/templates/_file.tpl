{{- /* Prints the objects of a file. Arguments: root, file, and the namespace of objects that set none. */}}
{{- define "operator.file" }}
{{- $own := .root.Release.Namespace }}
{{- $path := printf "files/%s.yaml" .file }}
{{- range regexSplit "(?m)^---$" (.root.Files.Get $path) -1 }}
{{- $object := fromYaml . }}
{{- if $object }}
{{- if not $object.kind }}{{ fail (printf "%s: %s" $path (toJson $object)) }}{{ end }}
{{- $metadata := $object.metadata }}
{{- if $metadata.namespace }}{{ $_ := set $metadata "namespace" $own }}{{ end }}
{{- with $.namespace }}{{ $_ := set $metadata "namespace" . }}{{ end }}
{{- range $object.subjects }}{{ $_ := set . "namespace" $own }}{{ end }}
{{- $labels := dict "app.kubernetes.io/name" "kconsumer-group-operator" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $.root.Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $.root.Chart.Name $.root.Chart.Version | replace "+" "_") }}
{{- $_ := set $metadata "labels" (merge $labels (default dict $metadata.labels)) }}
{{- $fit := dict "root" $.root "object" $object "own" $own }}
{{- if eq $object.kind "Deployment" }}{{ include "operator.deployment" $fit }}{{ end }}
{{- if hasKey $object "webhooks" }}{{ include "operator.webhookConfiguration" $fit }}{{ end }}
{{- if eq $.file "cert-manager" }}{{ include "operator.certificate" $fit }}{{ end }}
{{- if eq $.file "self-managed-rbac" }}{{ include "operator.certificateRoles" $fit }}{{ end }}
{{- if eq $.file "rbac-topics" }}{{ include "operator.topics" $fit }}{{ end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
