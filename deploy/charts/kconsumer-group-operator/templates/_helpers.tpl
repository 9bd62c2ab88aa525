{{- /* The labels of every object. Argument: the root. */}}
{{- define "kconsumer-group-operator.labels" -}}
{{- include "kconsumer-group-operator.labelsAnd" (dict "root" . "labels" dict) }}
{{- end }}

{{- /* The labels of every object, and more, which replace commonLabels of the same key. Arguments: root, labels. */}}
{{- define "kconsumer-group-operator.labelsAnd" -}}
{{- with .root -}}
app.kubernetes.io/name: kconsumer-group-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
{{- with merge (deepCopy (default dict .labels)) (default dict .root.Values.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* By which a process's pods are selected. Argument: controller or webhook. */}}
{{- define "kconsumer-group-operator.selectorLabels" -}}
app.kubernetes.io/name: kconsumer-group-operator
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "kconsumer-group-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}
{{- else }}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The name that the API server calls. */}}
{{- define "kconsumer-group-operator.webhookHost" -}}
kconsumer-group-operator-webhook.{{ .Release.Namespace }}.svc
{{- end }}

{{- /* Flags that both processes have. */}}
{{- define "kconsumer-group-operator.commonArgs" -}}
{{- range .Values.namespaces }}
- --namespaces={{ . }}
{{- end }}
{{- range .Values.topicNamespaces }}
- {{ printf "--topic-namespaces=%s" . | quote }}
{{- end }}
{{- if .Values.groupDefaults }}
- --defaults=/etc/kconsumer-group-operator/defaults.yaml
{{- end }}
{{- with (.Values.logging).level }}
- {{ printf "--log-level=%s" . | quote }}
{{- end }}
{{- with (.Values.logging).format }}
- --log-format={{ . }}
{{- end }}
{{- end }}

{{- /* Whether the controller's replicas elect a leader, as extraArgs and extraEnv say: true or false. A flag wins over its variable. */}}
{{- define "kconsumer-group-operator.leaderElection" -}}
{{- $value := "true" }}
{{- range (.Values.extraEnv).controller }}
{{- if eq .name "KCG_LEADER_ELECT" }}{{ $value = toString .value }}{{ end }}
{{- end }}
{{- range (.Values.extraArgs).controller }}
{{- if hasPrefix "--leader-elect=" . }}{{ $value = trimPrefix "--leader-elect=" . }}{{ end }}
{{- if eq "--leader-elect" . }}{{ $value = "true" }}{{ end }}
{{- end }}
{{- $value }}
{{- end }}

{{- /* OpenShift's restricted-v2 assigns the user and the groups. */}}
{{- define "kconsumer-group-operator.podSecurityContext" -}}
{{- $context := default dict .Values.podSecurityContext }}
{{- if .Values.openshift }}{{ $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}{{ end }}
{{- toYaml $context }}
{{- end }}

{{- /* Metadata of the pods. Arguments: root, process. */}}
{{- define "kconsumer-group-operator.podMetadata" -}}
labels:
  {{- include "kconsumer-group-operator.selectorLabels" .process | nindent 2 }}
  {{- with merge (deepCopy (default dict .root.Values.podLabels)) (default dict .root.Values.commonLabels) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* How the pods' image is pulled, and where the pods run. Arguments: root, process. */}}
{{- define "kconsumer-group-operator.scheduling" -}}
{{- $selector := dict "matchLabels" (include "kconsumer-group-operator.selectorLabels" .process | fromYaml) }}
{{- with .root.Values }}
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .topologySpreadConstraints }}
{{- range .topologySpreadConstraints }}
  {{- $constraint := merge (deepCopy .) (dict "labelSelector" $selector) }}
  {{- if hasKey . "labelSelector" }}{{ $constraint = . }}{{ end }}
  - {{- toYaml $constraint | nindent 4 }}
{{- end }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      {{- toYaml $selector | nindent 6 }}
    matchLabelKeys:
      - pod-template-hash
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The probes of both containers. */}}
{{- define "kconsumer-group-operator.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: probes
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /healthz
    port: probes
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: probes
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- /* What the two webhook configurations have in common: their metadata. */}}
{{- define "kconsumer-group-operator.webhookConfigurationMetadata" -}}
name: {{ .Release.Namespace | quote }}
labels:
  {{- include "kconsumer-group-operator.labels" . | nindent 2 }}
{{- if eq .Values.certificates.mode "cert-manager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/kconsumer-group-operator-webhook
{{- end }}
{{- end }}

{{- /* What the two webhook configurations have in common: which objects are reviewed, and by whom. Arguments: root, path. */}}
{{- define "kconsumer-group-operator.review" -}}
admissionReviewVersions:
  - v1
clientConfig:
  {{- with .root.Values.certificates.ca }}
  caBundle: {{ b64enc . }}
  {{- end }}
  service:
    name: kconsumer-group-operator-webhook
    namespace: {{ .root.Release.Namespace | quote }}
    path: {{ .path }}
    port: 443
rules:
  - apiGroups:
      - thenextapps.com
    apiVersions:
      - v1alpha1
    operations:
      - CREATE
      - UPDATE
    resources:
      - kconsumergroups
    scope: Namespaced
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      {{- if .root.Values.namespaces }}
      operator: In
      values:
        {{- toYaml .root.Values.namespaces | nindent 8 }}
      {{- else }}
      operator: NotIn
      values:
        - kube-system
      {{- end }}
# Only a new spec is reviewed.
matchConditions:
  - name: spec-is-new
    expression: request.operation == 'CREATE' || object.spec != oldObject.spec
matchPolicy: Equivalent
{{- end }}

{{- /* The file of groupDefaults in both containers, and its volume. */}}
{{- define "kconsumer-group-operator.defaultsMount" -}}
- name: group-defaults
  mountPath: /etc/kconsumer-group-operator
  readOnly: true
{{- end }}
{{- define "kconsumer-group-operator.defaultsVolume" -}}
- name: group-defaults
  configMap:
    name: kconsumer-group-operator-group-defaults
    # Admission must not depend on it: the webhook starts without it.
    optional: true
{{- end }}

{{- /* The ServiceAccount's token, with a shorter expiry than the default one. */}}
{{- define "kconsumer-group-operator.tokenVolume" -}}
- name: token
  projected:
    sources:
      # The default audience is the API server's, whose name differs between clusters.
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}

{{- /* A binding's ServiceAccount. Arguments: root, process. */}}
{{- define "kconsumer-group-operator.subject" -}}
- kind: ServiceAccount
  name: kconsumer-group-operator-{{ .process }}
  namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
