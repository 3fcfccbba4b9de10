{{/* What values.schema.json cannot say, or not in words that help. */}}
{{- define "respgate.check" -}}
{{- $v := .Values }}
{{- if eq $v.store.driver "sqlite" }}
{{- if $v.autoscaling.enabled }}
{{- fail "autoscaling.enabled needs store.driver postgres: a SQLite file is one proxy's" }}
{{- end }}
{{- if gt (int $v.replicaCount) 1 }}
{{- fail (printf "replicaCount %d needs store.driver postgres: a SQLite file is one proxy's" (int $v.replicaCount)) }}
{{- end }}
{{- else }}
{{- if not $v.store.dsn.existingSecret }}
{{- fail "store.dsn.existingSecret: store.driver postgres needs the name of a Secret with PostgreSQL's URL" }}
{{- end }}
{{- if not $v.secretKey.existingSecret }}
{{- fail "secretKey.existingSecret: store.driver postgres needs the name of a Secret with RESPGATE_SECRET_KEY, the same for all proxies" }}
{{- end }}
{{- end }}
{{- if $v.autoscaling.enabled }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas: want maxReplicas or less" }}
{{- end }}
{{- if not (or $v.autoscaling.targetCPU $v.autoscaling.targetCommandsPerSecond) }}
{{- fail "autoscaling: want targetCPU or targetCommandsPerSecond, or both" }}
{{- end }}
{{- end }}
{{- if and $v.tls.enabled (not $v.tls.existingSecret) }}
{{- fail "tls.existingSecret: tls.enabled needs the name of a Secret of type kubernetes.io/tls" }}
{{- end }}
{{- if and (not $v.tls.enabled) (or $v.tls.existingSecret $v.tls.extraCertificates $v.tls.clientCA.existingSecret) }}
{{- fail "tls.enabled: certificates are given, so want true" }}
{{- end }}
{{- if not (or $v.service.plainText $v.tls.enabled) }}
{{- fail "service.plainText: without it, and without tls.enabled, no client can connect" }}
{{- end }}
{{- $own := dict "listen" "bindAddress and service.port" "tls" "tls" "region" "region"
  "http.listen" "bindAddress and httpService.port" "http.cert_file" "http.tls.existingSecret" "http.key_file" "http.tls.existingSecret"
  "http.admin_token" "adminToken.existingSecret" "http.metrics_token" "metricsToken.existingSecret"
  "store.driver" "store.driver" "store.dsn" "store.dsn.existingSecret" "rate_limit.shared_url" "sharedLimits.existingSecret" }}
{{- range $key, $instead := $own }}
{{- $parts := splitList "." $key }}
{{- $in := $v.config }}
{{- if eq (len $parts) 2 }}{{ $in = get $v.config (first $parts) | default dict }}{{ end }}
{{- if hasKey $in (last $parts) }}
{{- fail (printf "config.%s: the chart sets it; use %s" $key $instead) }}
{{- end }}
{{- end }}
{{- end }}
