{{/*
Values of both parts in their pods. Each takes a dict: root, part (.Values.kms or .Values.csi), and what its comment names. A
release that is upgraded with --reuse-values has none of the values that this version added, so each may be missing.
*/}}

{{/* Labels of a pod. Also: component. */}}
{{- define "transit-bridge.podLabels" -}}
{{- include "transit-bridge.labels" (dict "root" .root "component" .component "own" .part.podLabels) }}
{{- end -}}

{{/* Annotations of a pod: it is replaced when its configuration changes. Also: file, the template of the configuration. */}}
{{- define "transit-bridge.podAnnotations" -}}
{{- $checksum := include (printf "%s/%s" .root.Template.BasePath .file) .root | sha256sum -}}
{{- merge (dict "checksum/config" $checksum) (.part.podAnnotations | default dict) | toYaml -}}
{{- end -}}

{{/* Where the pod runs, and with what priority. */}}
{{- define "transit-bridge.scheduling" -}}
{{- with include "transit-bridge.priorityClass" . }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "transit-bridge.priorityClass" -}}
{{- hasKey .part "priorityClassName" | ternary .part.priorityClassName "system-node-critical" -}}
{{- end -}}

{{/* How the pod finds hosts. Also: dnsPolicy, the default. */}}
{{- define "transit-bridge.names" -}}
{{- with .part.dnsPolicy | default .dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .part.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Also: own, what the chart sets. */}}
{{- define "transit-bridge.podSecurity" -}}
{{- $context := deepCopy .own -}}
{{- with .part.seLinuxOptions }}{{- $_ := set $context "seLinuxOptions" (deepCopy .) }}{{ end -}}
{{- toYaml (mergeOverwrite $context (deepCopy (.part.podSecurityContext | default dict))) -}}
{{- end -}}

{{/* Also: add, capabilities that the part needs. Kubernetes refuses a privileged container without privilege escalation. */}}
{{- define "transit-bridge.partSecurity" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- with .add }}{{- $_ := set $capabilities "add" . }}{{ end -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" $capabilities -}}
{{- $context = mergeOverwrite $context (fromYaml (include "transit-bridge.privilege" .)) -}}
{{- toYaml (mergeOverwrite $context (deepCopy (.part.securityContext | default dict))) -}}
{{- end -}}

{{- define "transit-bridge.privilege" -}}
{{- if .part.privileged -}}
privileged: true
allowPrivilegeEscalation: true
{{- end -}}
{{- end -}}

{{/* Also: updateStrategy, the default. */}}
{{- define "transit-bridge.updateStrategy" -}}
{{- toYaml (.part.updateStrategy | default .updateStrategy) -}}
{{- end -}}

{{/* A probe. Also: own, what the chart sets, and name. */}}
{{- define "transit-bridge.probe" -}}
{{ .name }}:
  {{- toYaml (mergeOverwrite (deepCopy .own) (deepCopy (get .part .name | default dict))) | nindent 2 }}
{{- end -}}

{{/*
Probes of a container that serves a unix socket. They use the socket, since a port can be blocked or taken by another
process, and never ask Vault: an outage of Vault must not restart the container. Also: socket.
*/}}
{{- define "transit-bridge.socketProbes" -}}
{{- $exec := dict "command" (list "/usr/bin/node" "/app/dist/transit-bridge.cjs" "probe" "--socket" .socket) -}}
{{- include "transit-bridge.startAndLive" (dict "part" .part "action" "exec" "how" $exec "period" 20) -}}
{{- end -}}

{{/* Probes of a container without a socket, in its own network. Also: port. */}}
{{- define "transit-bridge.portProbes" -}}
{{- $get := dict "path" "/livez" "port" .port -}}
{{- include "transit-bridge.startAndLive" (dict "part" .part "action" "httpGet" "how" $get "period" 10) -}}
{{- end -}}

{{- define "transit-bridge.startAndLive" -}}
{{- $start := dict .action .how "periodSeconds" 1 "timeoutSeconds" 5 "failureThreshold" 30 -}}
{{- $live := dict .action .how "periodSeconds" .period "timeoutSeconds" 5 "failureThreshold" 3 -}}
{{ include "transit-bridge.probe" (dict "part" .part "name" "startupProbe" "own" $start) }}
{{ include "transit-bridge.probe" (dict "part" .part "name" "livenessProbe" "own" $live) }}
{{- end -}}

{{/*
The additions to the static pod, for install-node --pod-patch; nothing if there are none. The static pod has its own name,
priority and DNS policy already.
*/}}
{{- define "transit-bridge.staticPodPatch" -}}
{{- $kms := .Values.kms -}}
{{- $context := dict "root" . "part" $kms -}}
{{- $metadata := dict -}}
{{- with merge (dict) ($kms.podLabels | default dict) (.Values.commonLabels | default dict) }}{{- $_ := set $metadata "labels" . }}{{ end -}}
{{- with $kms.podAnnotations }}{{- $_ := set $metadata "annotations" . }}{{ end -}}
{{- $container := dict -}}
{{- range $field, $value := dict "env" "extraEnv" "args" "extraArgs" "volumeMounts" "extraVolumeMounts" "startupProbe" "startupProbe" "livenessProbe" "livenessProbe" }}
{{- with get $kms $value }}{{- $_ := set $container $field . }}{{ end -}}
{{- end -}}
{{- with $kms.staticPod.resources }}{{- $_ := set $container "resources" . }}{{ end -}}
{{- $security := fromYaml (include "transit-bridge.privilege" $context) -}}
{{- with mergeOverwrite $security (deepCopy ($kms.securityContext | default dict)) }}{{- $_ := set $container "securityContext" . }}{{ end -}}
{{- $spec := fromYaml (include "transit-bridge.names" (dict "part" $kms "dnsPolicy" "")) -}}
{{- with $kms.extraVolumes }}{{- $_ := set $spec "volumes" . }}{{ end -}}
{{- with $kms.podSecurityContext }}{{- $_ := set $spec "securityContext" . }}{{ end -}}
{{- $priority := include "transit-bridge.priorityClass" $context -}}
{{- if ne $priority "system-node-critical" }}{{- $_ := set $spec "priorityClassName" $priority }}{{ end -}}
{{- with $container }}{{- $_ := set $spec "containers" (list .) }}{{ end -}}
{{- $pod := dict -}}
{{- with $metadata }}{{- $_ := set $pod "metadata" . }}{{ end -}}
{{- with $spec }}{{- $_ := set $pod "spec" . }}{{ end -}}
{{- if $pod }}{{ toYaml $pod }}{{ end -}}
{{- end -}}
