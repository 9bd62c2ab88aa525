{{- /* Fails if values contradict each other, with both names and the cure. */}}
{{- define "kconsumer-group-operator.checks" }}
{{- with .Values }}
{{- if and .namespaces (has "*" .topicNamespaces) }}
{{- fail "topicNamespaces=[\"*\"] contradicts namespaces: Roles cannot be granted in every namespace. List the namespaces of the topics in topicNamespaces, or leave namespaces empty" }}
{{- end }}
{{- $maps := dict "commonLabels" .commonLabels "podLabels" .podLabels }}
{{- $maps = merge $maps (dict "monitoring.labels" (.monitoring).labels "monitoring.ruleLabels" (.monitoring).ruleLabels) }}
{{- range $value, $labels := $maps }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "thenextapps.com/granted-namespace" }}
{{- if hasKey (default dict $labels) $label }}
{{- fail (printf "%s has the label %s, which the chart sets itself. Remove it from %s" $value $label $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .certificates.ca (ne .certificates.mode "provided") }}
{{- fail (printf "certificates.ca contradicts certificates.mode=%s, which writes the CA bundle itself. Remove certificates.ca, or set certificates.mode=provided" .certificates.mode) }}
{{- end }}
{{- if and .webhook.hostNetwork (eq (int .webhook.port) 10250) }}
{{- fail "webhook.port=10250 contradicts webhook.hostNetwork=true: the kubelet has the port 10250 of each node. Set webhook.port to another port, for example 8443, or set webhook.hostNetwork=false" }}
{{- end }}
{{- if and $.Chart.IsRoot .global }}
{{- fail (printf "global is not read by this chart, and it has %s. Set the value by its name in values.yaml, for example image.repository or imagePullSecrets, and remove global" (keys .global | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- include "kconsumer-group-operator.checkDefaults" . }}
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
{{- $issuer := include "kconsumer-group-operator.issuer" (dict "root" . "secret" $secret) }}
{{- $isTakenOver := and (eq $mode "self-managed") (ne $issuer "self-managed") }}
{{- /* A provided certificate may be issued by cert-manager, too. */}}
{{- $isLost := and .Release.IsUpgrade (ne $mode $issuer) (or (eq $mode "cert-manager") (eq $issuer "self-managed")) }}
{{- if or $isTakenOver $isLost }}
{{- fail (printf "certificates.mode=%s, but the Secret %s/kconsumer-group-operator-webhook-tls is %s. Set certificates.mode=%s to keep it. To change the issuer, uninstall this chart, delete the Secret, and install it again: the groups stay" $mode .Release.Namespace (get (dict "provided" "yours" "cert-manager" "issued by cert-manager" "self-managed" "issued by the controller") $issuer) $issuer) }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
Who issued the certificate in a Secret: only a Secret of this release is the controller's. Arguments:
root, secret.
*/}}
{{- define "kconsumer-group-operator.issuer" -}}
{{- $annotations := default dict .secret.metadata.annotations }}
{{- $isHelms := eq (get (default dict .secret.metadata.labels) "app.kubernetes.io/managed-by" | toString) "Helm" }}
{{- $isOfName := eq (get $annotations "meta.helm.sh/release-name" | toString) .root.Release.Name }}
{{- $isOfNamespace := eq (get $annotations "meta.helm.sh/release-namespace" | toString) .root.Release.Namespace }}
{{- if and $isHelms $isOfName $isOfNamespace }}self-managed
{{- else if hasKey $annotations "cert-manager.io/certificate-name" }}cert-manager
{{- else }}provided
{{- end }}
{{- end }}

{{- /* The bounds in bytes that a schema cannot express: it counts characters. */}}
{{- define "kconsumer-group-operator.checkDefaults" }}
{{- with .Values.groupDefaults }}
{{- range $key, $value := (.inheritedMetadata).annotations }}
{{- if gt (len $value) 4096 }}
{{- fail (printf "groupDefaults.inheritedMetadata.annotations[%s] has %d bytes, and at most 4096 are read: shorten it" $key (len $value)) }}
{{- end }}
{{- end }}
{{- $bytes := len (toYaml .) }}
{{- if gt $bytes 65536 }}
{{- fail (printf "groupDefaults has %d bytes, and at most 65536 are read: shorten it" $bytes) }}
{{- end }}
{{- end }}
{{- end }}
