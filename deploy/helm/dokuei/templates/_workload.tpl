{{/* The pods of a node that is alone (role ""), or of one role of several; takes (dict "root" $ "role" ROLE). */}}
{{- define "dokuei.workload" -}}
{{- $role := .role -}}
{{- with .root -}}
{{- $secrets := include "dokuei.secrets" . | fromYamlArray -}}
{{- $receives := or (not $role) (eq $role "receiver") -}}
{{- $own := get .Values.members $role | default dict -}}
{{- $resources := $own.resources | default .Values.resources -}}
{{- $name := include "dokuei.name" . -}}
{{- if $role }}{{ $name = printf "%s-%s" $name $role }}{{ end -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels: {{- include "dokuei.labels" . | nindent 4 }}
spec:
  {{- if not $role }}
  # One process owns the journal: a second one would refuse to start. A new version starts when the old one has drained.
  replicas: 1
  {{- else if not (and (eq $role "worker") .Values.members.keda.enabled) }}
  replicas: {{ $own.replicas }}
  {{- end }}
  # A StatefulSet for every role: a member's name is its pod's, and comes back with what it had begun.
  serviceName: {{ include "dokuei.name" . }}
  podManagementPolicy: {{ if $role }}Parallel{{ else }}OrderedReady{{ end }}
  updateStrategy:
    type: RollingUpdate
  selector:
    matchLabels:
      {{- include "dokuei.selector" . | nindent 6 }}
      {{- with $role }}
      app.kubernetes.io/component: {{ . }}
      {{- end }}
  template:
    metadata:
      labels:
        {{- include "dokuei.labels" . | nindent 8 }}
        {{- with $role }}
        app.kubernetes.io/component: {{ . }}
        {{- end }}
      annotations:
        # A changed configuration restarts the node.
        checksum/config: {{ include "dokuei.config" . | sha256sum }}
        {{- with .Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      {{- with .Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      containers:
        - name: node
          image: {{ include "dokuei.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args: [run, /etc/dokuei/config.yaml{{ with $role }}, --role, {{ . }}{{ end }}]
          securityContext:
            allowPrivilegeEscalation: false
            privileged: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          ports:
            {{- if $receives }}
            {{- with .Values.ports.dicom }}
            - {name: dicom, containerPort: {{ . }}}
            {{- end }}
            {{- with .Values.ports.dicomTls }}
            - {name: dicom-tls, containerPort: {{ . }}}
            {{- end }}
            {{- with .Values.ports.dicomweb }}
            - {name: dicomweb, containerPort: {{ . }}}
            {{- end }}
            {{- end }}
            - {name: http, containerPort: {{ .Values.ports.http }}}
          # The journal is migrated before anything listens: up to ten minutes. /livez fails only when a restart helps,
          # /readyz never because the PACS is down.
          startupProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 5
            failureThreshold: 120
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          resources:
            requests:
              {{- toYaml $resources.requests | nindent 14 }}
            limits:
              {{- toYaml $resources.limits | nindent 14 }}
              {{- if and .Values.gpu.count (or (not $role) (eq $role "worker")) }}
              nvidia.com/gpu: {{ .Values.gpu.count }}
              {{- end }}
          volumeMounts:
            - {name: data, mountPath: /var/lib/dokuei}
            - {name: tmp, mountPath: /tmp}
            - {name: config, mountPath: /etc/dokuei, readOnly: true}
            {{- if .Values.storage.packagesClaim }}
            - {name: packages, mountPath: /packages, readOnly: true}
            {{- end }}
            {{- range $secrets }}
            - {name: secret-{{ .name }}, mountPath: /run/secrets/dokuei/{{ .name }}, readOnly: true}
            {{- end }}
      {{- if $role }}
      # One machine that fails takes at most one of them, where there are as many machines.
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "dokuei.selector" . | nindent 14 }}
              app.kubernetes.io/component: {{ $role }}
      {{- end }}
      volumes:
        {{- if $role }}
        - name: data
          persistentVolumeClaim: {claimName: {{ include "dokuei.claim" . }}}
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: 2Gi}
        - name: config
          configMap: {name: {{ include "dokuei.name" . }}, defaultMode: 0444}
        {{- with .Values.storage.packagesClaim }}
        - name: packages
          persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
        {{- end }}
        {{- range $secrets }}
        - name: secret-{{ .name }}
          secret: {secretName: {{ .secretName }}, defaultMode: 0440}
        {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- if not $role }}
  # The volume outlives the release: studies and undelivered results lie on it.
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .Values.storage.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ .Values.storage.size }}
  {{- end }}
{{- end -}}
{{- end -}}
