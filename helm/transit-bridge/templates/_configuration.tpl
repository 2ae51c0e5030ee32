{{/* The section vault of both configurations. Call with a dict: root, folder (of the CA file of values), caFolder (of every CA file, if set), certificate (cert, key). */}}
{{- define "transit-bridge.vaultSection" -}}
{{- $vault := .root.Values.vault -}}
{{- $section := dict "address" $vault.address "timeout" $vault.timeout -}}
{{- with $vault.namespace }}{{- $_ := set $section "namespace" . }}{{ end -}}
{{- with $vault.serverName }}{{- $_ := set $section "serverName" . }}{{ end -}}
{{- if include "transit-bridge.hasCa" .root }}{{- $_ := set $section "caFile" (printf "%s/vault-ca.pem" (.caFolder | default .folder)) }}{{ end -}}
{{- with .certificate }}
{{- $_ := set $section "clientCertFile" .cert }}
{{- $_ := set $section "clientKeyFile" .key }}
{{- end -}}
{{- toYaml $section -}}
{{- end -}}

{{/* The existing object with Vault's CA, as YAML: its kind, name and key; nothing without one. */}}
{{- define "transit-bridge.caSource" -}}
{{- $secret := .Values.vault.caSecret | default dict -}}
{{- $map := .Values.vault.caConfigMap | default dict -}}
{{- if $secret.name -}}
secret: {{ $secret.name | quote }}
key: {{ $secret.key | default "ca.crt" | quote }}
{{- else if $map.name -}}
configMap: {{ $map.name | quote }}
key: {{ $map.key | default "ca.crt" | quote }}
{{- end -}}
{{- end -}}

{{/* Whether Vault's CA is a value or in an existing object: "true" or nothing. */}}
{{- define "transit-bridge.hasCa" -}}
{{- if or .Values.vault.caBundle (include "transit-bridge.caSource" .) -}}true{{- end -}}
{{- end -}}

{{/* Where a pod of the chart finds the CA of an existing object; nothing without one. */}}
{{- define "transit-bridge.caMountPath" -}}
{{- if include "transit-bridge.caSource" . -}}/etc/transit-bridge-ca{{- end -}}
{{- end -}}

{{- define "transit-bridge.caMount" -}}
{{- with include "transit-bridge.caMountPath" . -}}
- {name: vault-ca, mountPath: {{ . }}, readOnly: true}
{{- end -}}
{{- end -}}

{{/* The object as a volume. The pods mount the folder, so that they see a new CA. */}}
{{- define "transit-bridge.caVolume" -}}
{{- $source := include "transit-bridge.caSource" . | fromYaml -}}
{{- if $source -}}
- name: vault-ca
  {{- if $source.secret }}
  secret:
    secretName: {{ $source.secret | quote }}
  {{- else }}
  configMap:
    name: {{ $source.configMap | quote }}
  {{- end }}
    items:
      - {key: {{ $source.key | quote }}, path: vault-ca.pem}
{{- end -}}
{{- end -}}

{{/* Where a pod of the chart finds the client certificate of the Secret. */}}
{{- define "transit-bridge.certificateFolder" -}}/etc/transit-bridge-client{{- end -}}

{{- define "transit-bridge.certificateMount" -}}
- {name: client-certificate, mountPath: {{ include "transit-bridge.certificateFolder" . }}, readOnly: true}
{{- end -}}

{{/* The Secret as a volume. The provider and the DaemonSet mount the folder, so that they see a renewed certificate. */}}
{{- define "transit-bridge.certificateVolume" -}}
- name: client-certificate
  secret:
    secretName: {{ .Values.vault.clientCertificate.secretName | quote }}
    defaultMode: 0400
{{- end -}}

{{/* The files of the client certificate in a pod of the chart, as YAML; nothing without one. */}}
{{- define "transit-bridge.secretCertificate" -}}
{{- if .Values.vault.clientCertificate.secretName -}}
{{- $folder := include "transit-bridge.certificateFolder" . -}}
cert: {{ $folder }}/tls.crt
key: {{ $folder }}/tls.key
{{- end -}}
{{- end -}}

{{/* The same for the KMS plugin, whose static pod has only files of the host. */}}
{{- define "transit-bridge.kmsCertificate" -}}
{{- if ne .Values.kms.mode "staticPod" -}}
{{- include "transit-bridge.secretCertificate" . -}}
{{- else if .Values.vault.clientCertificate.certFile -}}
cert: {{ .Values.vault.clientCertificate.certFile }}
key: {{ .Values.vault.clientCertificate.keyFile }}
{{- end -}}
{{- end -}}

{{/* The KMS plugin's configuration. Call with a dict: root, folder (of token and CA, as the plugin sees it), caFolder (as above). */}}
{{- define "transit-bridge.kmsConfiguration" -}}
{{- $root := .root -}}
{{- $kms := $root.Values.kms -}}
{{- $auth := dict "method" $kms.auth.method -}}
{{- if ne $kms.auth.method "token" }}{{- $_ := set $auth "mount" ($kms.auth.mount | default $kms.auth.method) }}{{ end -}}
{{- if has $kms.auth.method (list "jwt" "kubernetes" "cert") }}{{- $_ := set $auth "role" $kms.auth.role }}{{ end -}}
{{- if include "transit-bridge.takesToken" $root -}}
{{- $_ := set $auth "tokenFile" (printf "%s/token" .folder) -}}
{{- $_ := set $auth "audience" $kms.token.audience -}}
{{- with $kms.auth.issuer }}{{- $_ := set $auth "issuer" . }}{{ end -}}
{{- end -}}
{{- $certificate := include "transit-bridge.kmsCertificate" $root | fromYaml -}}
{{- $vault := include "transit-bridge.vaultSection" (dict "root" $root "folder" .folder "caFolder" .caFolder "certificate" $certificate) | fromYaml -}}
{{- $_ := set $vault "auth" (merge $auth $kms.auth.files) -}}
{{- $section := dict "socket" (printf "%s/kms.sock" $kms.socketFolder) "clusterId" $kms.clusterId -}}
{{- $host := ternary "*" "127.0.0.1" (eq "true" (include "transit-bridge.isScraped" $root)) -}}
vault:
  {{- toYaml $vault | nindent 2 }}
transit:
  mount: {{ $root.Values.transit.mount | quote }}
  key: {{ $root.Values.transit.key | quote }}
kms:
  {{- toYaml (merge $section $kms.settings) | nindent 2 }}
admin:
  listen: {{ printf "%s:%v" $host $kms.adminPort | quote }}
log:
  level: {{ $kms.logLevel }}
{{- end -}}

{{/* The CSI provider's configuration. It has no vault.auth, because the provider logs in with the pods' tokens. */}}
{{- define "transit-bridge.csiRuntime" -}}
{{- with include "transit-bridge.csiRuntimeValues" . | fromYaml -}}
enabled: true
driverName: {{ .driverName | quote }}
socket: {{ printf "%s/plugins/%s/csi.sock" .kubeletFolder .driverName | quote }}
registrationSocket: {{ printf "%s/plugins_registry/%s-reg.sock" .kubeletFolder .driverName | quote }}
stateFolder: /run/transit-bridge/csi
nodeName: ${NODE_NAME}
maxRequestsPerSecond: {{ int .maxRequestsPerSecond }}
{{- end -}}
{{- end -}}

{{- define "transit-bridge.csiConfiguration" -}}
{{- $csi := .Values.csi -}}
{{- $certificate := include "transit-bridge.secretCertificate" . | fromYaml -}}
{{- $vault := include "transit-bridge.vaultSection" (dict "root" . "folder" "/etc/transit-bridge" "caFolder" (include "transit-bridge.caMountPath" .) "certificate" $certificate) | fromYaml -}}
{{- $section := dict "socket" (printf "%s/transit-bridge.sock" $csi.providersFolder) "audience" $csi.audience "rules" $csi.rules -}}
{{- $podAuth := dict "method" $csi.auth.method "mount" ($csi.auth.mount | default $csi.auth.method) -}}
{{- with $csi.auth.namespace }}{{- $_ := set $podAuth "namespace" . }}{{ end -}}
{{- $_ := set $section "auth" $podAuth -}}
{{- with $csi.mount }}{{- $_ := set $section "mount" . }}{{ end -}}
{{- if ($csi.runtime | default dict).enabled }}{{- $_ := set $section "runtime" (include "transit-bridge.csiRuntime" . | fromYaml) }}{{ end -}}
vault:
  {{- toYaml $vault | nindent 2 }}
transit:
  mount: {{ .Values.transit.mount | quote }}
  key: {{ .Values.transit.key | quote }}
csi:
  {{- toYaml (merge $section $csi.settings) | nindent 2 }}
admin:
  listen: "*:{{ $csi.adminPort }}"
log:
  level: {{ $csi.logLevel }}
{{- end -}}

{{/* The rights of the provider's Node.js (docs/design.md, "Permissions"). */}}
{{- define "transit-bridge.permission" -}}
--permission --no-experimental-sqlite --disable-warning=ExperimentalWarning --allow-net
{{- $read := list "/proc/self/stat" "/proc/self/status" "/proc/self/limits" "/proc/self/fd" "/proc/uptime" "/proc/sys/kernel/random/boot_id" "/etc/group" "/app/dist/*" "/etc/transit-bridge/*" "/etc/transit-bridge-ca/*" "/etc/transit-bridge-client/*" }}
{{- $write := list (printf "%s/*" .Values.csi.providersFolder) }}
{{- $runtime := include "transit-bridge.csiRuntimeValues" . | fromYaml }}
{{- if $runtime.enabled }}
{{- $kubelet := $runtime.kubeletFolder }}
{{- $write = concat $write (list (printf "%s/plugins/%s/*" $kubelet $runtime.driverName) (printf "%s/plugins_registry/*" $kubelet) "/run/transit-bridge/csi/*" (printf "%s/pods/*" $kubelet)) }}
{{- end }}
{{- range concat $read $write (list "/") }} --allow-fs-read={{ . }}
{{- end }}
{{- range append $write "/" }} --allow-fs-write={{ . }}
{{- end }}
{{- end }}
