#!/usr/bin/env bash
# Fetches the schemas that crds validates with, byte for byte, out of the Go modules of those who wrote them (Apache-2.0 both): run
# it after a change of the versions below. In: Go and its module proxy. Out: the files of schemas/.
set -Eeuo pipefail
cd "$(dirname "$0")/schemas"
prometheus_operator=v0.85.0
keda=v2.21.0

folder_of() { GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
operator_folder=$(folder_of "github.com/prometheus-operator/prometheus-operator@$prometheus_operator")
keda_folder=$(folder_of "github.com/kedacore/keda/v2@$keda")

install -m 644 -t . \
  "$operator_folder"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml \
  "$keda_folder"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml
# What a trigger on Kafka takes: its part of the list of all scalers.
{
  echo '# Out of schema/generated/scalers-schema.yaml of the same module.'
  awk '/^    - type: / {wanted = $3 == "kafka"} wanted' "$keda_folder/schema/generated/scalers-schema.yaml" | sed 's/^    //'
} >keda-kafka-trigger.yaml
