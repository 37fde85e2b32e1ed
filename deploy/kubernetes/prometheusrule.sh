#!/usr/bin/env bash
# Writes components/monitoring/prometheusrule.yaml, the alerts of deploy/prometheus/rules.yaml in the form that the Prometheus
# operator takes: run it after a change of those. A test holds the one against the other.
set -Eeuo pipefail
cd "$(dirname "$0")"
cat >components/monitoring/prometheusrule.yaml <<'HEAD'
# Made by deploy/kubernetes/prometheusrule.sh out of deploy/prometheus/rules.yaml: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: facestream
  labels:
    app.kubernetes.io/name: facestream
spec:
HEAD
sed 's/^./  &/' ../prometheus/rules.yaml >>components/monitoring/prometheusrule.yaml
