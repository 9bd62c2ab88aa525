{{- /* Each of these changes an object in place and prints nothing: root, object, own (the release's namespace). */}}

{{- define "operator.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ printf "%s@%s" $image.repository $image.digest }}
{{- else }}{{ printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "operator.deployment" }}
{{- $values := .root.Values }}
{{- $process := get .object.metadata.labels "app.kubernetes.io/component" }}
{{- $template := .object.spec.template }}
{{- $pod := $template.spec }}
{{- $container := first $pod.containers }}
{{- $_ := set .object.spec "replicas" (get $values.replicas $process) }}
{{- $_ := set $container "image" (include "operator.image" .root) }}
{{- with $values.image.pullPolicy }}{{ $_ := set $container "imagePullPolicy" . }}{{ end }}
{{- with get $values.resources $process }}{{ $_ := set $container "resources" . }}{{ end }}
{{- range list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- $key := . }}
{{- with get $values . }}{{ $_ := set $pod $key . }}{{ end }}
{{- end }}
{{- with $values.podAnnotations }}{{ $_ := set $template.metadata "annotations" . }}{{ end }}
{{- $flags := $container.args }}
{{- range $values.namespaces }}{{ $flags = append $flags (printf "--namespaces=%s" .) }}{{ end }}
{{- range $values.topicNamespaces }}{{ $flags = append $flags (printf "--topic-namespaces=%s" .) }}{{ end }}
{{- with $values.logging.level }}{{ $flags = append $flags (printf "--log-level=%s" .) }}{{ end }}
{{- with $values.logging.format }}{{ $flags = append $flags (printf "--log-format=%s" .) }}{{ end }}
{{- $mode := $values.certificates.mode }}
{{- if and (eq $process "controller") (eq $mode "self-managed") }}{{ $flags = append $flags "--certificate-mode=self-managed" }}{{ end }}
{{- $_ := set $container "args" $flags }}
{{- $mounted := get (dict "cert-manager" (list "tls.crt" "tls.key" "ca.crt") "self-managed" (list "tls.crt" "tls.key")) $mode }}
{{- if and (eq $process "webhook") $mounted }}
{{- $items := list }}
{{- range $mounted }}{{ $items = append $items (dict "key" . "path" .) }}{{ end }}
{{- range $pod.volumes }}{{ with .secret }}{{ $_ := set . "items" $items }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{- define "operator.webhookConfiguration" }}
{{- $values := .root.Values }}
{{- $certificates := $values.certificates }}
{{- $_ := set .object.metadata "name" .own }}
{{- if eq $certificates.mode "cert-manager" }}
{{- $inject := printf "%s/kconsumer-group-operator-webhook" .own }}
{{- $_ := set .object.metadata "annotations" (dict "cert-manager.io/inject-ca-from" $inject) }}
{{- end }}
{{- $webhook := first .object.webhooks }}
{{- $client := $webhook.clientConfig }}
{{- $_ := set $client.service "namespace" .own }}
{{- if and (eq $certificates.mode "provided") $certificates.ca }}
{{- $_ := set $client "caBundle" (b64enc $certificates.ca) }}
{{- end }}
{{- if eq .object.kind "ValidatingWebhookConfiguration" }}{{ $_ := set $webhook "failurePolicy" $values.failurePolicy }}{{ end }}
{{- $selected := default (list "kube-system" .own) $values.namespaces }}
{{- $_ := set (first $webhook.namespaceSelector.matchExpressions) "values" $selected }}
{{- end }}

{{- define "operator.certificate" }}
{{- $service := printf "kconsumer-group-operator-webhook.%s.svc" .own }}
{{- if .object.spec.dnsNames }}
{{- $_ := set .object.spec "dnsNames" (list $service (printf "%s.cluster.local" $service)) }}
{{- end }}
{{- end }}

{{- define "operator.certificateRoles" }}
{{- $name := printf "%s:certificates" .own }}
{{- if hasPrefix "Cluster" .object.kind }}{{ $_ := set .object.metadata "name" $name }}{{ end }}
{{- if eq .object.kind "ClusterRoleBinding" }}{{ $_ := set .object.roleRef "name" $name }}{{ end }}
{{- if eq .object.kind "ClusterRole" }}
{{- range .object.rules }}{{ $_ := set . "resourceNames" (list $.own) }}{{ end }}
{{- end }}
{{- end }}

{{- /* Several installations can read the topics of one namespace. */}}
{{- define "operator.topics" }}
{{- $name := printf "%s-topics" .own }}
{{- $_ := set .object.metadata "name" $name }}
{{- if .object.roleRef }}{{ $_ := set .object.roleRef "name" $name }}{{ end }}
{{- end }}
