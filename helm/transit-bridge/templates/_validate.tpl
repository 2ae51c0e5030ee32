{{/* Checks that values.schema.json cannot express. */}}
{{- define "transit-bridge.validate" -}}
{{- $kms := .Values.kms -}}
{{- $auth := $kms.auth -}}
{{- $certificate := .Values.vault.clientCertificate -}}
{{- include "transit-bridge.validatePart" (dict "root" . "name" "csi" "isUsed" .Values.csi.enabled) }}
{{- include "transit-bridge.validatePart" (dict "root" . "name" "kms" "isUsed" (ne $kms.mode "none")) }}
{{- include "transit-bridge.validateStaticPod" . }}
{{- include "transit-bridge.validateFolders" . }}
{{- include "transit-bridge.validateLabels" (dict "labels" .Values.commonLabels "value" "commonLabels") }}
{{- range $monitoring := list "podMonitor" "serviceMonitor" "prometheusRule" }}
{{- $labels := dig "labels" dict (get $.Values $monitoring | default dict) }}
{{- include "transit-bridge.validateLabels" (dict "labels" $labels "value" (printf "%s.labels" $monitoring)) }}
{{- end }}
{{- include "transit-bridge.validateLabels" (dict "labels" (dict .Values.grafanaDashboard.label "") "value" "grafanaDashboard.label") }}
{{- $vault := .Values.vault }}
{{- $sources := list $vault.caBundle (dig "caSecret" "name" "" $vault) (dig "caConfigMap" "name" "" $vault) }}
{{- if gt (len (compact $sources)) 1 }}
{{- fail "vault.caBundle, vault.caSecret.name and vault.caConfigMap.name exclude each other; set only one" }}
{{- end }}
{{- if and .Values.podMonitor.enabled (.Values.serviceMonitor | default dict).enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled scrape the same pods; enable only one" }}
{{- end }}
{{- if and (.Values.csi.runtime | default dict).enabled (not .Values.csi.enabled) }}
{{- fail "csi.runtime.enabled has no effect without csi.enabled; set both" }}
{{- end }}
{{- range $value, $mount := dict "kms.auth.mount" $auth.mount "csi.auth.mount" .Values.csi.auth.mount }}
{{- if hasPrefix "auth/" ($mount | default "") }}
{{- fail (printf "%s %s starts with auth/; remove this prefix" $value $mount) }}
{{- end }}
{{- end }}
{{- if .Values.csi.enabled }}
{{- $sockets := include "transit-bridge.csiRuntime" . | fromYaml }}
{{- range $name := list "socket" "registrationSocket" }}
{{- $socket := get $sockets $name | default "" }}
{{- if and (gt (len $socket) 107) ($.Values.csi.runtime | default dict).enabled }}
{{- fail (printf "csi.runtime.kubeletFolder makes the path of a socket too long (%s); Linux allows at most 107 bytes" $socket) }}
{{- end }}
{{- end }}
{{- $accounts := list (include "transit-bridge.kmsServiceAccount" .) (include "transit-bridge.csiServiceAccount" .) }}
{{- $both := and (ne $kms.mode "none") (eq "true" (include "transit-bridge.createsAccount" $kms)) (eq "true" (include "transit-bridge.createsAccount" .Values.csi)) }}
{{- if and $both (eq (first $accounts) (last $accounts)) }}
{{- fail (printf "kms.serviceAccount.name and csi.serviceAccount.name are both %s; use two service accounts, because Vault trusts that of the plugin" (first $accounts)) }}
{{- end }}
{{- end }}
{{- $_ := include "transit-bridge.vaultPorts" . }}
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

{{/* Call with a dict: root, name, isUsed. */}}
{{- define "transit-bridge.validatePart" -}}
{{- $part := get .root.Values .name }}
{{- include "transit-bridge.validateLabels" (dict "labels" $part.podLabels "value" (printf "%s.podLabels" .name)) }}
{{- if .isUsed }}
{{- include "transit-bridge.validateVariables" . }}
{{- if and (eq "false" (include "transit-bridge.createsAccount" $part)) (not $part.serviceAccount.name) }}
{{- fail (printf "%s.serviceAccount.create is false, but %s.serviceAccount.name is not set; set the name of an existing service account" .name .name) }}
{{- end }}
{{- if and (eq ($part.dnsPolicy | default "") "None") (not (dig "nameservers" list ($part.dnsConfig | default dict))) }}
{{- fail (printf "%s.dnsPolicy None requires %s.dnsConfig.nameservers" .name .name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Helm cannot upgrade a pod with the same variable twice. Call with a dict: root, name. */}}
{{- define "transit-bridge.validateVariables" -}}
{{- $part := .name }}
{{- $runtime := include "transit-bridge.csiRuntimeValues" .root | fromYaml }}
{{- $known := and (eq $part "csi") $runtime.enabled | ternary (list "NODE_NAME") list }}
{{- range $variable := (get .root.Values $part).extraEnv }}
{{- if has $variable.name $known }}
{{- fail (printf "%s.extraEnv %s is set twice, or by the chart; remove one of them" $part $variable.name) }}
{{- end }}
{{- $known = append $known $variable.name }}
{{- end }}
{{- end -}}

{{- define "transit-bridge.createsAccount" -}}
{{- dig "create" true (.serviceAccount | default dict) -}}
{{- end -}}

{{/* The labels that selectors, Services and PodMonitors use belong to the chart. Call with a dict: labels, value. */}}
{{- define "transit-bridge.validateLabels" -}}
{{- $value := .value }}
{{- range $label := keys (.labels | default dict) | sortAlpha }}
{{- if or (hasPrefix "app.kubernetes.io/" $label) (eq $label "helm.sh/chart") }}
{{- fail (printf "%s.%s is a label of the chart; remove it" $value $label) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A static pod cannot refer to other objects of the API. */}}
{{- define "transit-bridge.validateStaticPod" -}}
{{- $kms := .Values.kms }}
{{- if eq $kms.mode "staticPod" }}
{{- range $variable := $kms.extraEnv }}
{{- range $kind := keys ($variable.valueFrom | default dict) | sortAlpha }}
{{- if not (has $kind (list "fieldRef" "resourceFieldRef")) }}
{{- fail (printf "kms.extraEnv %s: a static pod cannot use valueFrom.%s; set a value, or use kms.mode daemonSet" $variable.name $kind) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $volume := $kms.extraVolumes }}
{{- range $kind := keys (omit $volume "name") | sortAlpha }}
{{- if not (has $kind (list "hostPath" "emptyDir")) }}
{{- fail (printf "kms.extraVolumes %s: a static pod cannot use %s; use hostPath or emptyDir" $volume.name $kind) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $kms.removeOnUninstall (eq (dig "type" "" ($kms.updateStrategy | default dict)) "OnDelete") }}
{{- fail "kms.removeOnUninstall needs installers that are updated, but kms.updateStrategy.type is OnDelete; change one of them" }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Two volumes at one path would make a pod invalid, and the kubelet reads every file in its folder for static pods. */}}
{{- define "transit-bridge.validateFolders" -}}
{{- $own := dict "/etc/transit-bridge" "the configuration" "/etc/transit-bridge-ca" "the CA" (include "transit-bridge.certificateFolder" .) "the client certificate" "/app" "the program" }}
{{- $kms := .Values.kms }}
{{- if eq $kms.mode "staticPod" }}
{{- $folders := dict "kms.socketFolder" $kms.socketFolder "kms.staticPod.hostFolder" $kms.staticPod.hostFolder "kms.staticPod.manifestFolder" $kms.staticPod.manifestFolder }}
{{- include "transit-bridge.validateDistinct" (dict "folders" $folders "others" dict) }}
{{- else if eq $kms.mode "daemonSet" }}
{{- include "transit-bridge.validateDistinct" (dict "folders" (dict "kms.socketFolder" $kms.socketFolder) "others" $own) }}
{{- end }}
{{- if .Values.csi.enabled }}
{{- $others := deepCopy $own }}
{{- $runtime := include "transit-bridge.csiRuntimeValues" . | fromYaml }}
{{- if $runtime.enabled }}
{{- $kubelet := clean $runtime.kubeletFolder }}
{{- range $folder := list "pods" "plugins_registry" (printf "plugins/%s" $runtime.driverName) }}
{{- $_ := set $others (printf "%s/%s" $kubelet $folder) "the kubelet" }}
{{- end }}
{{- $_ := set $others "/run/transit-bridge" "the run-time sockets" }}
{{- end }}
{{- include "transit-bridge.validateDistinct" (dict "folders" (dict "csi.providersFolder" .Values.csi.providersFolder) "others" $others) }}
{{- end }}
{{- end -}}

{{/* Call with a dict: folders (by the name of the value), others (what has a folder, by the folder). */}}
{{- define "transit-bridge.validateDistinct" -}}
{{- $known := deepCopy .others }}
{{- range $value, $folder := .folders }}
{{- with get $known (clean $folder) }}
{{- fail (printf "%s %s is also the folder of %s; choose another folder" $value $folder .) }}
{{- end }}
{{- $_ := set $known (clean $folder) $value }}
{{- end }}
{{- end -}}

{{/* The ports of vault.address, as YAML. IPv6 addresses are in brackets, as in every URL (RFC 3986, section 3.2.2). */}}
{{- define "transit-bridge.vaultPorts" -}}
{{- $ports := list }}
{{- range $address := kindIs "slice" .Values.vault.address | ternary .Values.vault.address (list .Values.vault.address) }}
{{- if not (regexMatch "^https?://([^:\\[\\]]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$" $address) }}
{{- fail (printf "vault.address %s is not a host and a port; write an IPv6 address in brackets, as in https://[2001:db8::1]:8200" $address) }}
{{- end }}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^https?://(\\[[^\\]]*\\]|[^:]*)" $address "") | trimPrefix ":" }}
{{- $number := $port | default (hasPrefix "https:" $address | ternary "443" "80") | atoi }}
{{- if or (lt $number 1) (gt $number 65535) }}
{{- fail (printf "vault.address %s: the port must be from 1 to 65535" $address) }}
{{- end }}
{{- $ports = append $ports $number }}
{{- end }}
{{- toYaml ($ports | uniq) }}
{{- end -}}
