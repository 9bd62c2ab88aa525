{{- /* Fails if values contradict each other, with both names and the cure. */}}
{{- define "kconsumer-group-operator.checks" }}
{{- with .Values }}
{{- if and .namespaces (has "*" .topicNamespaces) }}
{{- fail "topicNamespaces=[\"*\"] contradicts namespaces: Roles cannot be granted in every namespace. List the namespaces of the topics in topicNamespaces, or leave namespaces empty" }}
{{- end }}
{{- range $value := list "commonLabels" "podLabels" }}
{{- range $label := list "name" "component" "instance" "version" "managed-by" }}
{{- $label = printf "app.kubernetes.io/%s" $label }}
{{- if hasKey (get $.Values $value) $label }}
{{- fail (printf "%s has the label %s, which the chart sets itself. Remove it from %s" $value $label $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .certificates.ca (ne .certificates.mode "provided") }}
{{- fail (printf "certificates.ca contradicts certificates.mode=%s, which writes the CA bundle itself. Remove certificates.ca, or set certificates.mode=provided" .certificates.mode) }}
{{- end }}
{{- end }}
{{- include "kconsumer-group-operator.checkIssuer" . }}
{{- end }}

{{- /*
Another issuer of a release's certificate would break the trust of the API server in the webhook until
the pods have mounted the new certificate. `lookup` finds nothing without a cluster.
*/}}
{{- define "kconsumer-group-operator.checkIssuer" }}
{{- $mode := .Values.certificates.mode }}
{{- $secret := lookup "v1" "Secret" .Release.Namespace "kconsumer-group-operator-webhook-tls" }}
{{- if $secret }}
{{- $issuer := "provided" }}
{{- if hasKey (default dict $secret.metadata.annotations) "cert-manager.io/certificate-name" }}{{ $issuer = "cert-manager" }}{{ end }}
{{- if eq (get (default dict $secret.metadata.labels) "app.kubernetes.io/managed-by") "Helm" }}{{ $issuer = "self-managed" }}{{ end }}
{{- $isTakenOver := and (eq $mode "self-managed") (ne $issuer "self-managed") }}
{{- /* A provided certificate may be issued by cert-manager, too. */}}
{{- $isLost := and .Release.IsUpgrade (ne $mode $issuer) (or (eq $mode "cert-manager") (eq $issuer "self-managed")) }}
{{- if or $isTakenOver $isLost }}
{{- fail (printf "certificates.mode=%s, but the Secret %s/kconsumer-group-operator-webhook-tls is %s. Set certificates.mode=%s to keep it. To change the issuer, uninstall this chart, delete the Secret, and install it again: the groups stay" $mode .Release.Namespace (get (dict "provided" "yours" "cert-manager" "issued by cert-manager" "self-managed" "issued by the controller") $issuer) $issuer) }}
{{- end }}
{{- end }}
{{- end }}
