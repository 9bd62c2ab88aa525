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
  - kconsumer-group-operator-ca
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

{{- define "kconsumer-group-operator.certificatePolicy" -}}
failurePolicy: Fail
matchConditions:
- expression: >-
    request.userInfo.username ==
    'system:serviceaccount:{{.Release.Namespace}}:kconsumer-group-operator-controller'
  name: is-controller
matchConstraints:
  resourceRules:
  - apiGroups:
    - admissionregistration.k8s.io
    apiVersions:
    - v1
    operations:
    - UPDATE
    resources:
    - mutatingwebhookconfigurations
    - validatingwebhookconfigurations
    scope: Cluster
validations:
- expression: variables.webhooks.map(w, w.name) == variables.oldWebhooks.map(w, w.name)
  message: >-
    the controller of kconsumer-group-operator may change only
    webhooks[*].clientConfig.caBundle, not the list of the webhooks
  reason: Forbidden
- expression: >-
    variables.webhooks.all(new, variables.oldWebhooks.exists(old, old.name ==
    new.name && dyn(new).all(field, field in ['clientConfig'] || (field in dyn(old) &&
    dyn(new)[field] == dyn(old)[field])) && dyn(old).all(field, field in
    ['clientConfig'] || field in dyn(new))))
  message: >-
    the controller of kconsumer-group-operator may change only
    webhooks[*].clientConfig.caBundle, not another field of a webhook
  reason: Forbidden
- expression: >-
    variables.webhooks.all(new, variables.oldWebhooks.exists(old, old.name ==
    new.name && dyn(new.clientConfig).all(field, field in ['caBundle'] || (field in
    dyn(old.clientConfig) && dyn(new.clientConfig)[field] == dyn(old.clientConfig)[field]))
    && dyn(old.clientConfig).all(field, field in ['caBundle'] || field in
    dyn(new.clientConfig))))
  message: >-
    the controller of kconsumer-group-operator may change only
    webhooks[*].clientConfig.caBundle, not the url or the service of clientConfig
  reason: Forbidden
- expression: >-
    dyn(object.metadata).all(field, field in ['managedFields', 'resourceVersion',
    'generation'] || (field in dyn(oldObject.metadata) && dyn(object.metadata)[field]
    == dyn(oldObject.metadata)[field])) && dyn(oldObject.metadata).all(field, field
    in ['managedFields', 'resourceVersion', 'generation'] || field in
    dyn(object.metadata))
  message: >-
    the controller of kconsumer-group-operator may change only
    webhooks[*].clientConfig.caBundle, not metadata
  reason: Forbidden
variables:
- expression: object.?webhooks.orValue([])
  name: webhooks
- expression: oldObject.?webhooks.orValue([])
  name: oldWebhooks
{{- end }}
