{{- /* Rendered from dev/manifests: edit the code, then run UPDATE=1 cargo test --package kcg-manifests */}}

{{- define "kconsumer-group-operator.controllerRules" -}}
- apiGroups:
  - thenextapps.com
  resources:
  - kconsumergroups
  verbs:
  - list
  - watch
- apiGroups:
  - thenextapps.com
  resources:
  - kconsumergroups/status
  verbs:
  - patch
- apiGroups:
  - thenextapps.com
  resources:
  - kconsumergroups/finalizers
  verbs:
  - update
- apiGroups:
  - ""
  resources:
  - services
  verbs:
  - get
  - list
  - watch
  - create
  - patch
- apiGroups:
  - monitoring.coreos.com
  resources:
  - servicemonitors
  verbs:
  - get
  - list
  - watch
  - create
  - patch
- apiGroups:
  - monitoring.coreos.com
  resources:
  - prometheusrules
  verbs:
  - get
  - list
  - watch
  - create
  - patch
- apiGroups:
  - autoscaling
  resources:
  - horizontalpodautoscalers
  verbs:
  - get
  - list
  - watch
  - create
  - patch
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - get
  - list
  - watch
  - create
  - patch
- apiGroups:
  - monitoring.coreos.com
  resources:
  - prometheusrules
  verbs:
  - delete
- apiGroups:
  - ""
  resources:
  - pods
  verbs:
  - list
  - watch
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
- apiGroups:
  - kafka.strimzi.io
  resources:
  - kafkatopics
  verbs:
  - list
  - watch
{{- end }}

{{- define "kconsumer-group-operator.topicRules" -}}
- apiGroups:
  - kafka.strimzi.io
  resources:
  - kafkatopics
  verbs:
  - list
  - watch
{{- end }}

{{- define "kconsumer-group-operator.leaseRules" -}}
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - create
- apiGroups:
  - coordination.k8s.io
  resourceNames:
  - kconsumer-group-operator
  resources:
  - leases
  verbs:
  - get
  - update
{{- end }}

{{- define "kconsumer-group-operator.certificateRules" -}}
- apiGroups:
  - ""
  resourceNames:
  - kconsumer-group-operator-webhook-tls
  resources:
  - secrets
  verbs:
  - get
  - update
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
{{- end }}
