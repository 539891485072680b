{{- define "dokuei.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "dokuei.selector" -}}
app.kubernetes.io/name: dokuei
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dokuei.labels" -}}
{{ include "dokuei.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The volume that all members share. */}}
{{- define "dokuei.claim" -}}
{{- .Values.storage.existingClaim | default (printf "%s-data" (include "dokuei.name" .)) -}}
{{- end -}}

{{- define "dokuei.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* config.yaml: the site's sections, and what only the chart can know. */}}
{{- define "dokuei.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $node := dict "host" "0.0.0.0" "port" nil -}}
{{- if .Values.ports.dicom -}}{{- $_ := set $node "port" .Values.ports.dicom -}}{{- end -}}
{{- $given := $config.node | default dict -}}
{{- if .Values.ports.dicomTls -}}
{{- $tls := required "ports.dicomTls needs config.node.tls (certificate, key, trusted)" $given.tls -}}
{{- $_ := set $node "tls" (merge (dict "port" .Values.ports.dicomTls) $tls) -}}
{{- end -}}
{{- $_ := set $config "node" (merge $node $given) -}}
{{- $storage := dict "folder" "/var/lib/dokuei" -}}
{{- if .Values.database.url -}}
{{- $_ := set $storage "database_url" .Values.database.url -}}
{{- if .Values.database.passwordSecret -}}
{{- $_ := set $storage "database_password_file" "/run/secrets/dokuei/database/password" -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "storage" (merge $storage ($config.storage | default dict)) -}}
{{- $_ := set $config "http" (dict "host" "0.0.0.0" "port" .Values.ports.http) -}}
{{- if .Values.ports.dicomweb -}}
{{- $web := required "ports.dicomweb needs config.dicomweb.tls (certificate, key, trusted)" ($config.dicomweb | default dict).tls -}}
{{- $_ := set $config "dicomweb" (merge (dict "host" "0.0.0.0" "tls" (merge (dict "port" .Values.ports.dicomweb) $web)) $config.dicomweb) -}}
{{- end -}}
{{- if .Values.storage.packagesClaim -}}
{{- $_ := set $config "inference" (merge (dict "packages_folder" "/packages") ($config.inference | default dict)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Every file that is mounted, as volumes of the pod. */}}
{{- define "dokuei.secrets" -}}
{{- $all := .Values.secrets -}}
{{- if .Values.database.passwordSecret -}}
{{- $all = append $all (dict "name" "database" "secretName" .Values.database.passwordSecret) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
