{{/* The section vault of both configurations. Call with a dict: root, folder (of the CA file), certificate (cert, key). */}}
{{- define "transit-bridge.vaultSection" -}}
{{- $vault := .root.Values.vault -}}
{{- $section := dict "address" $vault.address "timeout" $vault.timeout -}}
{{- with $vault.namespace }}{{- $_ := set $section "namespace" . }}{{ end -}}
{{- with $vault.serverName }}{{- $_ := set $section "serverName" . }}{{ end -}}
{{- if $vault.caBundle }}{{- $_ := set $section "caFile" (printf "%s/vault-ca.pem" .folder) }}{{ end -}}
{{- with .certificate }}
{{- $_ := set $section "clientCertFile" .cert }}
{{- $_ := set $section "clientKeyFile" .key }}
{{- end -}}
{{- toYaml $section -}}
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
    secretName: {{ .Values.vault.clientCertificate.secretName }}
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

{{/* The KMS plugin's configuration. Call with a dict: root, folder (of token and CA, as the plugin sees it). */}}
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
{{- $vault := include "transit-bridge.vaultSection" (dict "root" $root "folder" .folder "certificate" $certificate) | fromYaml -}}
{{- $_ := set $vault "auth" (merge $auth $kms.auth.files) -}}
{{- $section := dict "socket" (printf "%s/kms.sock" $kms.socketFolder) "clusterId" $kms.clusterId -}}
{{- $host := ternary "*" "127.0.0.1" $root.Values.podMonitor.enabled -}}
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
{{- define "transit-bridge.csiConfiguration" -}}
{{- $csi := .Values.csi -}}
{{- $certificate := include "transit-bridge.secretCertificate" . | fromYaml -}}
{{- $vault := include "transit-bridge.vaultSection" (dict "root" . "folder" "/etc/transit-bridge" "certificate" $certificate) | fromYaml -}}
{{- $section := dict "socket" (printf "%s/transit-bridge.sock" $csi.providersFolder) "audience" $csi.audience "rules" $csi.rules -}}
{{- $podAuth := dict "method" $csi.auth.method "mount" ($csi.auth.mount | default $csi.auth.method) -}}
{{- with $csi.auth.namespace }}{{- $_ := set $podAuth "namespace" . }}{{ end -}}
{{- $_ := set $section "auth" $podAuth -}}
{{- with $csi.mount }}{{- $_ := set $section "mount" . }}{{ end -}}
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

{{/* Checks that values.schema.json cannot express. */}}
{{- define "transit-bridge.validate" -}}
{{- $kms := .Values.kms -}}
{{- $auth := $kms.auth -}}
{{- $certificate := .Values.vault.clientCertificate -}}
{{- $addresses := kindIs "slice" .Values.vault.address | ternary .Values.vault.address (list .Values.vault.address) }}
{{- range $address := $addresses }}
{{- $isLoopback := regexMatch "^http://(localhost|127[.][0-9]+[.][0-9]+[.][0-9]+|\\[::1\\])(:[0-9]+)?$" $address }}
{{- if and (hasPrefix "http://" $address) (not $isLoopback) }}
{{- fail (printf "vault.address %s sends keys and tokens unencrypted, and transit-bridge refuses it; use https://" $address) }}
{{- end }}
{{- if and $isLoopback $.Values.csi.enabled }}
{{- fail (printf "vault.address %s is the pod itself for the CSI provider; use an address that pods can reach" $address) }}
{{- end }}
{{- end }}
{{- if ne (empty $certificate.certFile) (empty $certificate.keyFile) }}
{{- fail "vault.clientCertificate has only one of certFile and keyFile; set both or neither" }}
{{- end }}
{{- if and $certificate.certFile (ne $kms.mode "staticPod") }}
{{- fail (printf "vault.clientCertificate.certFile does not apply to kms.mode %s; set vault.clientCertificate.secretName" $kms.mode) }}
{{- end }}
{{- if and $certificate.secretName (eq $kms.mode "staticPod") (not $certificate.certFile) (ne $auth.method "cert") }}
{{- fail "vault.clientCertificate.secretName does not reach a static pod; also set vault.clientCertificate.certFile and keyFile" }}
{{- end }}
{{- if and $certificate.certFile (eq $auth.method "cert") }}
{{- fail "vault.clientCertificate.certFile does not apply to kms.auth.method cert, which presents kms.auth.files.certFile; remove it" }}
{{- end }}
{{- range $name := list "certFile" "keyFile" }}
{{- $file := get $certificate $name }}
{{- if and $file (not (hasPrefix (printf "%s/" $kms.staticPod.hostFolder) $file)) }}
{{- fail (printf "vault.clientCertificate.%s must be in kms.staticPod.hostFolder (%s)" $name $kms.staticPod.hostFolder) }}
{{- end }}
{{- end }}
{{- if and .Values.csi.enabled $certificate.certFile (not $certificate.secretName) }}
{{- fail "vault.clientCertificate.certFile does not reach the CSI provider; also set vault.clientCertificate.secretName" }}
{{- end }}
{{- if ne $kms.mode "none" }}
{{- $files := dict "approle" (list "roleIdFile" "secretIdFile") "cert" (list "certFile" "keyFile") "token" (list "tokenFile") }}
{{- $needed := get $files $auth.method | default list }}
{{- range $name := $needed }}
{{- if not (get $auth.files $name) }}
{{- fail (printf "kms.auth.files.%s is not set, but kms.auth.method %s requires it; set a file in %s on the hosts" $name $auth.method $kms.staticPod.hostFolder) }}
{{- end }}
{{- end }}
{{- range $name, $file := $auth.files }}
{{- if not (has $name $needed) }}
{{- fail (printf "kms.auth.files.%s does not apply to kms.auth.method %s; remove it" $name $auth.method) }}
{{- end }}
{{- if not (hasPrefix (printf "%s/" $kms.staticPod.hostFolder) $file) }}
{{- fail (printf "kms.auth.files.%s must be in kms.staticPod.hostFolder (%s)" $name $kms.staticPod.hostFolder) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
