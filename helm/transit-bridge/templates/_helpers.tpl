{{/* The name of the chart. */}}
{{- define "transit-bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, with the chart's name appended unless the release's name contains it. */}}
{{- define "transit-bridge.fullname" -}}
{{- $name := include "transit-bridge.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels for selectors; they never change. Call with a dict: root, component. */}}
{{- define "transit-bridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "transit-bridge.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object. Call with a dict: root, component, own (further labels). */}}
{{- define "transit-bridge.labels" -}}
{{ include "transit-bridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: transit-bridge
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with merge (dict) (.own | default dict) (.root.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "transit-bridge.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "transit-bridge.kmsServiceAccount" -}}
{{- .Values.kms.serviceAccount.name | default (printf "%s-kms" (include "transit-bridge.fullname" .)) -}}
{{- end -}}

{{- define "transit-bridge.csiServiceAccount" -}}
{{- .Values.csi.serviceAccount.name | default (printf "%s-csi" (include "transit-bridge.fullname" .)) -}}
{{- end -}}

{{/* Whether the KMS login takes a service-account token: "true" or nothing. */}}
{{- define "transit-bridge.takesToken" -}}
{{- if has .Values.kms.auth.method (list "jwt" "kubernetes") -}}true{{- end -}}
{{- end -}}

{{/* The security context of a container that takes nothing from the values. */}}
{{- define "transit-bridge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The options of transit-bridge setup for these values, for NOTES. */}}
{{- define "transit-bridge.setupOptions" -}}
{{- $methods := list -}}
{{- if ne .Values.kms.mode "none" }}{{ $methods = append $methods .Values.kms.auth.method }}{{ end -}}
{{- if .Values.csi.enabled }}{{ $methods = append $methods .Values.csi.auth.method }}{{ end -}}
{{- if or (has "jwt" $methods) (has "kubernetes" $methods) }} --kubeconfig ~/.kube/config{{ end -}}
{{- if has "kubernetes" $methods }} --reviewer-token-file FILE{{ end -}}
{{- with .Values.vault.clientCertificate }}
{{- if or .secretName .certFile }} --vault-client-cert FILE --vault-client-key FILE{{ end -}}
{{- end -}}
{{- if include "transit-bridge.caSource" . }} --vault-ca FILE{{ end -}}
{{- end -}}

{{/* Whether metrics are scraped from other hosts: "true" or nothing. */}}
{{- define "transit-bridge.isScraped" -}}
{{- if or .Values.podMonitor.enabled (.Values.serviceMonitor | default dict).enabled -}}true{{- end -}}
{{- end -}}

{{/* The security of pods that use files of the host, which belong to root. */}}
{{- define "transit-bridge.rootOfHost" -}}
runAsUser: 0
runAsGroup: 0
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/*
The values of csi.runtime, as YAML. After helm upgrade --reuse-values, values that the old release did not have are missing, so
each has its default here, too.
*/}}
{{- define "transit-bridge.csiRuntimeValues" -}}
{{- $own := dict "enabled" false "driverName" "transit.transit-bridge.io" "kubeletFolder" "/var/lib/kubelet" "tokenExpirationSeconds" 3600 "maxRequestsPerSecond" 500 -}}
{{- mergeOverwrite $own (.Values.csi.runtime | default dict) | toYaml -}}
{{- end -}}
