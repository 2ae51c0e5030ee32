{{/* What PodMonitor and ServiceMonitor have in common. Call with their values. */}}
{{- define "transit-bridge.endpoint" -}}
port: metrics
path: /metrics
interval: {{ .interval | default "30s" }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
  - {sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: node}
  # Each node has one process of each component, so the node's name identifies it.
  - {sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: instance}
  {{- with .cluster }}
  - {targetLabel: cluster, replacement: {{ . | quote }}}
  {{- end }}
  - {sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], targetLabel: component}
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The labels of static pods, which the installer writes. They have no release, and their mirror pods are always in kube-system.
*/}}
{{- define "transit-bridge.staticPodLabels" -}}
app.kubernetes.io/name: transit-bridge
app.kubernetes.io/component: kms
app.kubernetes.io/managed-by: transit-bridge-installer
{{- end -}}

{{/* The labels that select the pods of this release, of all components. */}}
{{- define "transit-bridge.releaseLabels" -}}
app.kubernetes.io/name: {{ include "transit-bridge.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}
