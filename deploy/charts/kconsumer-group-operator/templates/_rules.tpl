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

{{- define "kconsumer-group-operator.flags" -}}
controller:
  --ca-duration: KCG_CA_DURATION
  --ca-overlap: KCG_CA_OVERLAP
  --certificate-duration: KCG_CERTIFICATE_DURATION
  --certificate-mode: KCG_CERTIFICATE_MODE
  --context: KCG_CONTEXT
  --defaults: KCG_DEFAULTS
  --health-probe-bind-address: KCG_HEALTH_PROBE_BIND_ADDRESS
  --identity: POD_NAME
  --kubeconfig: KCG_KUBECONFIG
  --leader-elect: KCG_LEADER_ELECT
  --leader-elect-lease-duration: KCG_LEADER_ELECT_LEASE_DURATION
  --leader-elect-renew-deadline: KCG_LEADER_ELECT_RENEW_DEADLINE
  --leader-elect-resource-name: KCG_LEADER_ELECT_RESOURCE_NAME
  --leader-elect-resource-namespace: KCG_LEADER_ELECT_RESOURCE_NAMESPACE
  --leader-elect-retry-period: KCG_LEADER_ELECT_RETRY_PERIOD
  --log-format: KCG_LOG_FORMAT
  --log-level: RUST_LOG
  --max-spec-bytes: KCG_MAX_SPEC_BYTES
  --metrics-bind-address: KCG_METRICS_BIND_ADDRESS
  --namespaces: KCG_NAMESPACES
  --pod-namespace: POD_NAMESPACE
  --topic-namespaces: KCG_TOPIC_NAMESPACES
  --webhook-configuration-name: WEBHOOK_CONFIGURATION_NAME
webhook:
  --cert-dir: KCG_CERT_DIR
  --client-allowed-names: KCG_CLIENT_ALLOWED_NAMES
  --client-ca-file: KCG_CLIENT_CA_FILE
  --context: KCG_CONTEXT
  --defaults: KCG_DEFAULTS
  --drain-quiet-period: KCG_DRAIN_QUIET_PERIOD
  --health-probe-bind-address: KCG_HEALTH_PROBE_BIND_ADDRESS
  --kubeconfig: KCG_KUBECONFIG
  --log-format: KCG_LOG_FORMAT
  --log-level: RUST_LOG
  --max-spec-bytes: KCG_MAX_SPEC_BYTES
  --metrics-bind-address: KCG_METRICS_BIND_ADDRESS
  --namespaces: KCG_NAMESPACES
  --server-name: KCG_SERVER_NAME
  --topic-namespaces: KCG_TOPIC_NAMESPACES
  --webhook-bind-address: KCG_WEBHOOK_BIND_ADDRESS
{{- end }}

{{- define "kconsumer-group-operator.renamedFlags" -}}
controller:
  --authority-life: --ca-duration
  --authority-overlap: --ca-overlap
  --certificate-life: --certificate-duration
  --certificates: --certificate-mode
  --lease-name: --leader-elect-resource-name
  --lease-namespace: --leader-elect-resource-namespace
  --status-addr: --metrics-bind-address and --health-probe-bind-address
webhook:
  --listen: --webhook-bind-address
  --status-addr: --metrics-bind-address and --health-probe-bind-address
{{- end }}
