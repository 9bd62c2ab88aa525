//! A pod that Kubernetes and the webhook accept, with many fields.

use serde_json::{Value, json};

/// As many fields as a Linux pod of the level `baseline` can have. `consumer` is the name of the
/// consumer's container.
pub fn legal_pod(consumer: &str) -> Value {
    let handler = |path: &str| json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTPS", "httpHeaders": [{"name": "X-From", "value": "kubelet"}]}, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 9, "successThreshold": 1, "initialDelaySeconds": 0});
    let labels = json!({"matchLabels": {"app.kubernetes.io/name": "orders"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a", ""]}]});
    let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let env = json!([
        resource("A", "limits.cpu", "1m"), resource("B", "limits.memory", "1Mi"), resource("C", "requests.ephemeral-storage", "1000"), resource("D", "requests.cpu", "1000m"),
        resource("E", "limits.memory", "0"), resource("F", "limits.hugepages-2Mi", "1024Ki"), {"name": "G", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "containerName": "sidecar"}}},
        field("H", "status.podIPs"), field("I", "metadata.labels['app.kubernetes.io/name']"), field("J", "metadata.annotations['Example.com/a']"), field("K", "spec.host"),
        {"name": "L", "valueFrom": {"secretKeyRef": {"name": "s", "key": ".key_1", "optional": true}}}, {"name": "an odd name", "value": "$(A)"},
        {"name": "M", "valueFrom": {"fileKeyRef": {"key": "a", "volumeName": "tmp", "path": "env"}}}]);
    let files = json!([{"key": "app.yaml", "path": "config/a..b/app.yaml", "mode": 256}]);
    let volumes = json!([
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}, {"name": "default"},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0, "items": files}}, {"name": "config", "configMap": {"name": "c", "defaultMode": 511, "items": files, "optional": true}},
        {"name": "api", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "cpu", "resourceFieldRef": {"containerName": consumer, "resource": "limits.cpu"}}]}},
        {"name": "projected", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}, {"serviceAccountToken": {"path": "long", "expirationSeconds": 600}},
            {"configMap": {"name": "c", "items": files}}, {"secret": {"name": "s"}}, {"clusterTrustBundle": {"name": "trust", "path": "ca.pem"}}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "nfs", "nfs": {"server": "s", "path": "/"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast.ssd", "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}}}}},
        {"name": "csi", "csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"a": "b"}}}, {"name": "image", "image": {"reference": "r/data:1", "pullPolicy": "IfNotPresent"}}]);
    let mounts = json!([{"name": "tmp", "mountPath": "/tmp", "mountPropagation": "HostToContainer"}, {"name": "config", "mountPath": "/config", "subPath": "a..b", "readOnly": true, "recursiveReadOnly": "IfPossible"},
        {"name": "secret", "mountPath": "/secret", "subPathExpr": "$(A)", "mountPropagation": "None"}]);
    let resources = json!({"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 1, "hugepages-2Mi": "4Mi", "kubernetes.io/batch-cpu": "100m"}, "requests": {"nvidia.com/gpu": "1", "cpu": "0.5"}});
    let container = json!({
            "name": consumer, "env": env, "envFrom": [{"prefix": "X_", "secretRef": {"name": "s"}}], "volumeMounts": mounts, "volumeDevices": [{"name": "claim", "devicePath": "/dev/x"}],
        "resources": resources, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "memory", "restartPolicy": "RestartContainer"}],
        "ports": [{"name": "http", "containerPort": 9000}, {"name": "udp", "containerPort": 9000, "protocol": "UDP"}],
        "livenessProbe": handler("/live"), "startupProbe": {"grpc": {"port": 9000, "service": ""}}, "readinessProbe": {"exec": {"command": ["true"]}, "successThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": 60}}, "postStart": {"exec": {"command": ["true"]}}}, "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"runAsUser": 0, "readOnlyRootFilesystem": true, "seccompProfile": {"type": "Localhost", "localhostProfile": "p/a.json"}, "appArmorProfile": {"type": "RuntimeDefault"}}});
    json!({
        "serviceAccountName": "orders", "hostname": "a", "subdomain": "b", "priorityClassName": "high.1", "runtimeClassName": "gvisor", "preemptionPolicy": "Never", "os": {"name": "linux"},
        "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1", "2001:db8::1"], "searches": [".", "a_b.example.com."], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kafka-0", "kafka.example.com"]}, {"ip": "::1"}], "readinessGates": [{"conditionType": "example.com/Ready"}], "schedulingGates": [{"name": "example.com/wait"}],
        "securityContext": {"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [1], "supplementalGroupsPolicy": "Strict", "seLinuxChangePolicy": "Recursive", "sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1 2 3"}], "runAsNonRoot": false},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 0}], "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": labels, "matchLabelKeys": ["pod-template-hash"], "mismatchLabelKeys": ["team"]}}]},
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1.a"]}], "matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["3"]}]}]}}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2, "labelSelector": labels, "matchLabelKeys": ["pod-template-hash"], "nodeTaintsPolicy": "Honor"}],
        "volumes": volumes, "resources": {"limits": {"memory": "4Gi", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "2"}},
        "containers": [container, {"name": "sidecar", "image": "i", "restartPolicy": "Never", "resources": {"limits": {"memory": "1Gi"}}}],
        "initContainers": [{"name": "native", "image": "i", "restartPolicy": "Always", "readinessProbe": handler("/ready"), "lifecycle": {"preStop": {"sleep": {"seconds": 0}}}},
            {"name": "once", "image": "i", "restartPolicy": "OnFailure", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}],
    })
}
