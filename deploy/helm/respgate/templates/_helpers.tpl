{{- define "respgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 52 characters at most: with what is put behind it, a name fits into 63. */}}
{{- define "respgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "respgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "respgate.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "respgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "respgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: proxy
{{- end }}

{{- define "respgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "respgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "respgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "respgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "respgate.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A duration of the configuration, such as 1m30s or 500ms, in whole seconds, rounded up. */}}
{{- define "respgate.seconds" -}}
{{- $text := toString . }}
{{- if not (regexMatch "^(0|([0-9]+(\\.[0-9]+)?(h|ms|m|s|us|µs|ns))+)$" $text) }}
{{- fail (printf "config.shutdown: want durations such as 500ms, 10s or 5m, got %q" $text) }}
{{- end }}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.000000001 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?(h|ms|m|s|us|µs|ns)" $text -1 }}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-zµ]+$" .))) }}
{{- end }}
{{- ceil $sum | int }}
{{- end }}

{{/* From the pod's end being asked for to the process's being killed: see docs/OPERATING.md. */}}
{{- define "respgate.gracePeriod" -}}
{{- $shutdown := .Values.config.shutdown | default dict }}
{{- add .Values.preStopSleepSeconds
  (include "respgate.seconds" (dig "delay" "0s" $shutdown))
  (include "respgate.seconds" (dig "drain_timeout" "30s" $shutdown)) 5 }}
{{- end }}

{{- define "respgate.httpScheme" -}}
{{- ternary "HTTPS" "HTTP" (ne .Values.http.tls.existingSecret "") }}
{{- end }}

{{/* What listens where, and the store: this goes into the environment, since the image has some of it there and the environment wins. */}}
{{- define "respgate.env" -}}
- name: RESPGATE_CONFIG
  value: /etc/respgate/respgate.yaml
- name: RESPGATE_LISTEN
  value: {{ printf "%s:6380" .Values.bindAddress | quote }}
- name: RESPGATE_HTTP_LISTEN
  value: {{ printf "%s:3000" .Values.bindAddress | quote }}
- name: RESPGATE_LOG_FORMAT
  value: {{ dig "log" "format" "json" .Values.config }}
{{- with .Values.region }}
- name: RESPGATE_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .Values.secretKey.existingSecret }}
{{ include "respgate.secretEnv" (dict "name" "RESPGATE_SECRET_KEY" "from" .Values.secretKey) }}
{{- end }}
- name: RESPGATE_STORE_DRIVER
  value: {{ .Values.store.driver }}
{{- if eq .Values.store.driver "postgres" }}
{{ include "respgate.secretEnv" (dict "name" "RESPGATE_STORE_DSN" "from" .Values.store.dsn) }}
{{- else }}
- name: RESPGATE_STORE_DSN
  value: file:/data/respgate.db
{{- end }}
{{- if .Values.adminToken.existingSecret }}
{{ include "respgate.secretEnv" (dict "name" "RESPGATE_HTTP_ADMIN_TOKEN" "from" .Values.adminToken) }}
{{- end }}
{{- if .Values.metricsToken.existingSecret }}
{{ include "respgate.secretEnv" (dict "name" "RESPGATE_HTTP_METRICS_TOKEN" "from" .Values.metricsToken) }}
{{- end }}
{{- if .Values.sharedLimits.existingSecret }}
{{ include "respgate.secretEnv" (dict "name" "RESPGATE_RATE_LIMIT_SHARED_URL" "from" .Values.sharedLimits) }}
{{- end }}
{{- end }}

{{- define "respgate.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.existingSecret }}
      key: {{ .from.key }}
{{- end }}

{{/* respgate.yaml: config, and the files of certificates. */}}
{{- define "respgate.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.tls.enabled }}
{{- $tls := dict "listen" (printf "%s:6390" .Values.bindAddress) "cert_file" "/tls/server/tls.crt" "key_file" "/tls/server/tls.key" }}
{{- $more := list }}
{{- range .Values.tls.extraCertificates }}
{{- $more = append $more (dict "cert_file" (printf "/tls/extra/%s/tls.crt" .) "key_file" (printf "/tls/extra/%s/tls.key" .)) }}
{{- end }}
{{- if $more }}{{ $_ := set $tls "certificates" $more }}{{ end }}
{{- if .Values.tls.clientCA.existingSecret }}{{ $_ := set $tls "client_ca_file" "/tls/clients/ca.crt" }}{{ end }}
{{- $_ := set $config "tls" $tls }}
{{- end }}
{{- if .Values.http.tls.existingSecret }}
{{- $http := get $config "http" | default dict }}
{{- $_ := set $http "cert_file" "/tls/http/tls.crt" }}
{{- $_ := set $http "key_file" "/tls/http/tls.key" }}
{{- $_ := set $config "http" $http }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "respgate.testLabels" -}}
app.kubernetes.io/name: {{ include "respgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}
