{{- /* Fails if values contradict each other, with both names and the cure. */}}
{{- define "kconsumer-group-operator.checks" }}
{{- with .Values }}
{{- if and .namespaces (has "*" .topicNamespaces) }}
{{- fail "topicNamespaces=[\"*\"] contradicts namespaces: Roles cannot be granted in every namespace. List the namespaces of the topics in topicNamespaces, or leave namespaces empty" }}
{{- end }}
{{- if and (not .replicas.webhook) (eq .failurePolicy "Fail") }}
{{- fail "replicas.webhook=0 contradicts failurePolicy=Fail: without a webhook every new or changed group is refused. Set replicas.webhook to at least 1, or set failurePolicy=Ignore" }}
{{- end }}
{{- if and $.Chart.IsRoot .global }}
{{- fail (printf "global is not read by this chart, and it has %s. Set the value by its name in values.yaml, for example image.repository or imagePullSecrets, and remove global" (keys .global | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- range list "Labels" "Certificates" "ClientCA" "Ports" "HostNetwork" "Openshift" "Extras" "LeaderElection" "Defaults" "ScrapeLimits" "Issuer" }}
{{- include (printf "kconsumer-group-operator.check%s" .) $ }}
{{- end }}
{{- end }}

{{- define "kconsumer-group-operator.checkLabels" }}
{{- with .Values }}
{{- $maps := dict "commonLabels" .commonLabels "podLabels" .podLabels }}
{{- $maps = merge $maps (dict "monitoring.labels" (.monitoring).labels "monitoring.ruleLabels" (.monitoring).ruleLabels) }}
{{- range $value, $labels := $maps }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "thenextapps.com/granted-namespace" }}
{{- if hasKey (default dict $labels) $label }}
{{- fail (printf "%s has the label %s, which the chart sets itself. Remove it from %s" $value $label $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kconsumer-group-operator.checkCertificates" }}
{{- with .Values.certificates }}
{{- if .authority }}
{{- fail "certificates.authority is now certificates.ca. Set certificates.ca to its value, and certificates.authority=null" }}
{{- end }}
{{- if and .ca (ne .mode "provided") }}
{{- fail (printf "certificates.ca contradicts certificates.mode=%s, which writes the CA bundle itself. Remove certificates.ca, or set certificates.mode=provided" .mode) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kconsumer-group-operator.checkClientCA" }}
{{- with .Values.webhook.clientCA }}
{{- if and (not .configMap) .allowedNames (ne (.allowedNames | join ",") "kube-apiserver") }}
{{- fail (printf "webhook.clientCA.allowedNames has no effect without webhook.clientCA.configMap: every client is accepted. Set webhook.clientCA.configMap to the ConfigMap with the CA of clients, or remove webhook.clientCA.allowedNames, which has %s" (.allowedNames | join ", ")) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A pod, and with the host network a node, has each port once. */}}
{{- define "kconsumer-group-operator.checkPorts" }}
{{- $hostNetwork := .Values.webhook.hostNetwork }}
{{- $ports := dict "webhook.port" .Values.webhook.port "ports.metrics" .Values.ports.metrics "ports.probes" .Values.ports.probes }}
{{- range $name, $port := $ports }}
{{- if and $hostNetwork (eq (int $port) 10250) }}
{{- fail (printf "%s=10250 contradicts webhook.hostNetwork=true: the kubelet has the port 10250 of each node. Set %s to another port, or set webhook.hostNetwork=false" $name $name) }}
{{- end }}
{{- range $other, $number := omit $ports $name }}
{{- if eq (int $port) (int $number) }}
{{- fail (printf "%s=%d and %s=%d are one port of a pod. Set one of them to another port" $name (int $port) $other (int $number)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* `lookup` finds nothing without a cluster. */}}
{{- define "kconsumer-group-operator.checkHostNetwork" }}
{{- if .Values.webhook.hostNetwork }}
{{- $namespace := lookup "v1" "Namespace" "" .Release.Namespace }}
{{- $level := get (default dict ($namespace.metadata).labels) "pod-security.kubernetes.io/enforce" }}
{{- if has $level (list "baseline" "restricted") }}
{{- fail (printf "webhook.hostNetwork=true contradicts the label pod-security.kubernetes.io/enforce=%s of the namespace %s, which refuses such pods. Set the label to privileged, or set webhook.hostNetwork=false" $level .Release.Namespace) }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
openshift leaves out the ids of the default podSecurityContext, and no others. restricted-v2 allows
neither the host network nor an id that it does not assign.
*/}}
{{- define "kconsumer-group-operator.checkOpenshift" }}
{{- if .Values.openshift }}
{{- if .Values.webhook.hostNetwork }}
{{- fail "openshift=true contradicts webhook.hostNetwork=true, which restricted-v2 does not allow. Set webhook.hostNetwork=false, or set openshift=false and grant the webhook's ServiceAccount another SecurityContextConstraint" }}
{{- end }}
{{- range $value := list "podSecurityContext" "securityContext" }}
{{- range $field := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $context := default dict (index $.Values $value) }}
{{- if hasKey $context $field }}
{{- $id := get $context $field | int64 }}
{{- if or (eq $value "securityContext") (ne $id 65532) }}
{{- fail (printf "%s.%s=%d contradicts openshift=true, with which OpenShift assigns it. Remove %s.%s, or set openshift=false" $value $field $id $value $field) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "kconsumer-group-operator.checkRestricted" . }}
{{- end }}
{{- end }}

{{- /* What restricted-v2 refuses in the context of a container, and the seccomp profile of both contexts. */}}
{{- define "kconsumer-group-operator.checkRestricted" }}
{{- $context := default dict .Values.securityContext }}
{{- range $field := list "privileged" "allowPrivilegeEscalation" }}
{{- if get $context $field }}
{{- fail (printf "securityContext.%s=true contradicts openshift=true: restricted-v2 does not allow it. Set securityContext.%s=false, or set openshift=false" $field $field) }}
{{- end }}
{{- end }}
{{- range (default dict $context.capabilities).add }}
{{- if ne . "NET_BIND_SERVICE" }}
{{- fail (printf "securityContext.capabilities.add has %s, which contradicts openshift=true: restricted-v2 does not allow it. Remove it, or set openshift=false" .) }}
{{- end }}
{{- end }}
{{- range $value := list "podSecurityContext" "securityContext" }}
{{- $type := (default dict (default dict (index $.Values $value)).seccompProfile).type }}
{{- if and $type (ne $type "RuntimeDefault") }}
{{- fail (printf "%s.seccompProfile.type=%s contradicts openshift=true: restricted-v2 allows RuntimeDefault alone. Set it to RuntimeDefault, or set openshift=false" $value $type) }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
A flag that stands twice, or that the process does not have, ends the process. A variable that stands twice
cannot be applied, one that the process does not have has no effect, and a flag wins over its variable.
*/}}
{{- define "kconsumer-group-operator.checkExtras" }}
{{- $values := dict "metrics-bind-address" "ports.metrics" "health-probe-bind-address" "ports.probes" "webhook-bind-address" "webhook.port" "client-ca-file" "webhook.clientCA.configMap" "client-allowed-names" "webhook.clientCA.allowedNames" "namespaces" "namespaces" "topic-namespaces" "topicNamespaces" "defaults" "groupDefaults" "certificate-mode" "certificates.mode" "log-level" "logging.level" "log-format" "logging.format" }}
{{- $own := list "webhook-configuration-name" "pod-namespace" "cert-dir" "server-name" "drain-quiet-period" }}
{{- $variables := list "POD_NAME" "POD_NAMESPACE" "WEBHOOK_CONFIGURATION_NAME" }}
{{- $flags := include "kconsumer-group-operator.flags" . | fromYaml }}
{{- range $process := list "controller" "webhook" }}
{{- $known := get $flags $process }}
{{- $other := ternary "webhook" "controller" (eq $process "controller") }}
{{- $seen := list }}
{{- range $flag := index (default dict $.Values.extraArgs) $process }}
{{- $seen = append $seen (list "extraArgs" (regexFind "^--[^= ]*" $flag)) }}
{{- end }}
{{- range $variable := index (default dict $.Values.extraEnv) $process }}
{{- $seen = append $seen (list "extraEnv" $variable.name) }}
{{- end }}
{{- range $index, $item := $seen }}
{{- $list := printf "%s.%s" (first $item) $process }}
{{- $name := last $item }}
{{- $flag := trimPrefix "--" $name }}
{{- if hasPrefix "KCG_" $name }}{{ $flag = trimPrefix "KCG_" $name | lower | replace "_" "-" }}{{ end }}
{{- if eq $name "RUST_LOG" }}{{ $flag = ternary "log-level" "" (not (not ($.Values.logging).level)) }}{{ end }}
{{- with get $values $flag }}
{{- fail (printf "%s has %s, which contradicts the chart's value %s. Set %s, and remove %s from %s" $list $name . . $name $list) }}
{{- end }}
{{- /* The variable of --identity is POD_NAME, which the chart sets. */}}
{{- if eq $name "KCG_IDENTITY" }}
{{- fail (printf "%s has KCG_IDENTITY, which the operator does not read. Put --identity=VALUE into extraArgs.controller if the name of the pod does not do, and remove KCG_IDENTITY from %s" $list $list) }}
{{- end }}
{{- if or (has $flag $own) (has $name $variables) }}
{{- fail (printf "%s has %s, which the chart sets itself. Remove it from %s" $list $name $list) }}
{{- end }}
{{- if has $item (slice $seen 0 $index) }}
{{- fail (printf "%s has %s twice. Remove one of them" $list $name) }}
{{- end }}
{{- if and (or (hasPrefix "--" $name) (hasPrefix "KCG_" $name)) (not (hasKey $known $name)) (not (has $name (values $known))) }}
{{- $ofOther := get $flags $other }}
{{- if or (hasKey $ofOther $name) (has $name (values $ofOther)) }}
{{- fail (printf "%s has %s, which is the %s's. Move it to %s.%s" $list $name $other (first $item) $other) }}
{{- end }}
{{- with get (get (include "kconsumer-group-operator.renamedFlags" $ | fromYaml) $process) $name }}
{{- fail (printf "%s has %s, which was renamed: use %s" $list $name .) }}
{{- end }}
{{- fail (printf "%s has %s, which the %s does not have. Remove it: `kconsumer-group-operator %s --help` lists the flags and their variables" $list $name $process $process) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Two controllers without an election reconcile at once. */}}
{{- define "kconsumer-group-operator.checkLeaderElection" }}
{{- if and (eq (include "kconsumer-group-operator.leaderElection" .) "false") (gt (int .Values.replicas.controller) 1) }}
{{- fail (printf "replicas.controller=%d contradicts leader-elect=false in extraArgs.controller or extraEnv.controller: all of them would reconcile at once. Set replicas.controller=1, or leave leader election on" (int .Values.replicas.controller)) }}
{{- end }}
{{- end }}

{{- /*
Another issuer of a release's certificate would break the trust of the API server in the webhook until
the pods have mounted the new certificate. `lookup` finds nothing without a cluster.
*/}}
{{- define "kconsumer-group-operator.checkIssuer" }}
{{- $mode := .Values.certificates.mode }}
{{- $secret := lookup "v1" "Secret" .Release.Namespace "kconsumer-group-operator-webhook-tls" }}
{{- if $secret }}
{{- $owner := get (default dict $secret.metadata.annotations) "meta.helm.sh/release-name" }}
{{- if and $owner (ne $owner .Release.Name) }}
{{- fail (printf "the namespace %s has the release %s of this chart, and can have no second one. Upgrade %s, or install this release in another namespace, with other namespaces to watch" .Release.Namespace $owner $owner) }}
{{- end }}
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
{{- $maps := dict "metrics.labels" (.metrics).labels "alerts.ruleLabels" (.alerts).ruleLabels }}
{{- $maps = merge $maps (dict "inheritedMetadata.labels" (.inheritedMetadata).labels "inheritedMetadata.annotations" (.inheritedMetadata).annotations) }}
{{- range $map, $entries := $maps }}
{{- range $key, $_ := $entries }}
{{- if gt (len (splitList "/" $key | first)) 253 }}
{{- fail (printf "groupDefaults.%s has a key whose prefix has %d characters, and at most 253 are allowed: shorten %s" $map (len (splitList "/" $key | first)) $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- if regexMatch "^[0-9]{1,3}ms$" (default "" (.metrics).interval) }}
{{- fail (printf "groupDefaults.metrics.interval=%s is too short: set at least 1s" .metrics.interval) }}
{{- end }}
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

{{- /* What groupDefaults.metrics sets is within groupDefaults.limits, or else within the product's. 0 stands for no limit. */}}
{{- define "kconsumer-group-operator.checkScrapeLimits" }}
{{- with .Values.groupDefaults }}
{{- $metrics := default dict .metrics }}
{{- $limits := default dict .limits }}
{{- range $field, $most := dict "sampleLimit" 200000 "labelLimit" 128 "bodySizeLimit" "64MB" }}
{{- if hasKey $limits $field }}{{ $most = get $limits $field }}{{ end }}
{{- if hasKey $metrics $field }}
{{- $own := get $metrics $field }}
{{- $number := include "kconsumer-group-operator.amount" $own | int64 }}
{{- $mostNumber := include "kconsumer-group-operator.amount" $most | int64 }}
{{- if and (ne $mostNumber 0) (or (eq $number 0) (gt $number $mostNumber)) }}
{{- fail (printf "groupDefaults.metrics.%s=%v is above the limit of this installation, groupDefaults.limits.%s, which is %v. Set more than 0 and at most %v, or raise groupDefaults.limits.%s" $field $own $field $most $most $field) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A number, or the bytes of a size. Prometheus takes MB and MiB for the same. */}}
{{- define "kconsumer-group-operator.amount" -}}
{{- if kindIs "string" . }}
{{- $factor := get (dict "K" 1024 "M" 1048576 "G" 1073741824) (regexFind "[KMG]" .) | default 1 }}
{{- mul (regexFind "^[0-9]+" . | int64) $factor }}
{{- else }}{{ int64 . }}
{{- end }}
{{- end }}
