{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "gpuscale.labels" -}}
app.kubernetes.io/name: gpuscale-{{ .component }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: gpuscale
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "gpuscale.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "gpuscale.agentNamespace" -}}
{{ .Values.agent.namespace | default .Release.Namespace }}
{{- end }}

{{- define "gpuscale.agents" -}}
{{- if ne .Values.agent.gpuAccess "none" }}true{{ end }}
{{- end }}

{{/* The names in certificates are those of the release's namespace, wherever their Secrets lie. */}}
{{- define "gpuscale.name" -}}
gpuscale-{{ .component }}.{{ .root.Release.Namespace }}.svc
{{- end }}

{{/* A source that needs no driver: simulated GPUs, recordings. */}}
{{- define "gpuscale.hardware" -}}
{{- if not (or (hasPrefix "sim:" .Values.agent.source) (hasPrefix "replay:" .Values.agent.source)) }}true{{ end }}
{{- end }}

{{- define "gpuscale.scalerConfig" -}}
{{- $tls := "/etc/gpuscale/tls" }}
{{- $pair := dict "cert" (print $tls "/tls.crt") "key" (print $tls "/tls.key") }}
{{- $mutual := merge (dict "ca" (print $tls "/ca.crt")) $pair }}
{{- $scaler := printf "gpuscale-scaler.%s" .Release.Namespace }}
{{- $addresses := list (print $scaler ":9443") (print $scaler ".svc:9443") (print $scaler ".svc.cluster.local:9443") }}
{{- $addresses = concat $addresses (.Values.scaler.addresses | default list) | uniq }}
{{- $kubernetes := dict "enabled" true "events" .Values.scaler.events "scalerAddresses" $addresses }}
{{- $made := dict
  "grpc" (dict "listen" ":9443" "tls" (merge (dict "allowedNames" (list
    (include "gpuscale.name" (dict "component" "keda" "root" .)) (include "gpuscale.name" (dict "component" "scaler" "root" .)))) $mutual))
  "health" (dict "listen" ":8081") }}
{{- if .Values.scaler.webConfigSecret }}
{{- $_ := set $made "http" (dict "listen" ":9444" "webConfig" "/etc/gpuscale/web/web.yml") }}
{{- else }}
{{- $_ := set $made "http" (dict "listen" ":9444" "tls" $pair) }}
{{- end }}
{{- if include "gpuscale.agents" . }}
{{- $_ := set $kubernetes "agents" (dict "service" (printf "%s/gpuscale-agent" (include "gpuscale.agentNamespace" .)) "port" "grpc") }}
{{- $_ := set $made "agents" (dict "tls" (merge (dict "serverName" (include "gpuscale.name" (dict "component" "agent" "root" .))) $mutual)) }}
{{- end }}
{{- $_ := set $made "kubernetes" $kubernetes }}
{{- $_ := set $made "replicas" (dict "lease" (print .Release.Namespace "/gpuscale-scaler") "tls" (merge (dict "serverName" (include "gpuscale.name" (dict "component" "scaler" "root" .))) $mutual)) }}
{{- if .Values.metricsAPI.enabled }}
{{- $_ := set $made "metricsAPI" (dict "enabled" true "listen" ":6443" "tls" $pair) }}
{{- end }}
{{- mergeOverwrite (deepCopy .Values.scaler.config) $made | toYaml }}
{{- end }}

{{- define "gpuscale.agentConfig" -}}
{{- $tls := "/etc/gpuscale/tls" }}
{{- $pair := dict "cert" (print $tls "/tls.crt") "key" (print $tls "/tls.key") }}
{{- $metrics := dict "listen" ":9400" "dcgm" .Values.agent.metrics.dcgm "hostnameLabel" .Values.agent.metrics.hostnameLabel }}
{{- if .Values.agent.metrics.webConfigSecret }}
{{- $_ := set $metrics "webConfig" "/etc/gpuscale/web/web.yml" }}
{{- else if .Values.agent.metrics.tls }}
{{- $_ := set $metrics "tls" $pair }}
{{- end }}
{{- $made := dict
  "source" .Values.agent.source
  "metrics" $metrics
  "grpc" (dict "listen" ":9443" "tls" (merge (dict "ca" (print $tls "/ca.crt") "allowedNames" (list (include "gpuscale.name" (dict "component" "scaler" "root" .)))) $pair))
  "health" (dict "listen" ":9401")
  "podResources" (dict "mode" "on" "socket" "/var/lib/kubelet/pod-resources/kubelet.sock")
  "podProcesses" (dict "enabled" .Values.agent.podProcesses) }}
{{- mergeOverwrite (deepCopy .Values.agent.config) $made | toYaml }}
{{- end }}

{{- define "gpuscale.check" -}}
{{- if and (eq .Values.tls.source "certManager") (not .Values.tls.certManager.issuerRef.name) }}
{{- fail "tls.source is certManager: tls.certManager.issuerRef.name says which issuer signs" }}
{{- end }}
{{- if and (eq .Values.agent.gpuAccess "none") (not (dig "exporters" "targets" nil .Values.scaler.config)) }}
{{- fail "agent.gpuAccess is none: scaler.config.exporters.targets says which GPU exporter the scaler reads" }}
{{- end }}
{{- if and .Values.metricsAPI.enabled (not .Values.metricsAPI.caBundle) (ne .Values.tls.source "certManager") }}
{{- fail "metricsAPI.enabled: metricsAPI.caBundle is the authority by which the API server knows the scaler (ca.crt of gpuscale-scaler-tls)" }}
{{- end }}
{{- if and (not .Values.priorityClass.name) .Values.priorityClass.create }}
{{- fail "priorityClass.create: priorityClass.name is empty" }}
{{- end }}
{{- end }}

{{- define "gpuscale.readers" }}
{{- if has "*" .Values.networkPolicy.prometheusNamespaces }}
- namespaceSelector: {}
{{- else }}
{{- range .Values.networkPolicy.prometheusNamespaces }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}
