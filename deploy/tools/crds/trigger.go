package main

import (
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"
)

// trigger is what KEDA's scaler on Kafka takes, as KEDA's own list has it.
type trigger struct {
	Type       string `json:"type"`
	Parameters []struct {
		Name         string   `json:"name"`
		Type         string   `json:"type"`
		Optional     bool     `json:"optional"`
		Default      string   `json:"default"`
		Allowed      []string `json:"allowedValue"`
		FromMetadata bool     `json:"metadataVariableReadable"`
		FromEnv      bool     `json:"envVariableReadable"`
		FromAuth     bool     `json:"triggerAuthenticationVariableReadable"`
	} `json:"parameters"`
}

func loadTrigger() (trigger, error) {
	text, err := schemas.ReadFile("schemas/keda-kafka-trigger.yaml")
	if err != nil {
		return trigger{}, err
	}
	triggers := []trigger{}
	if err := yaml.UnmarshalStrict(text, &triggers); err != nil {
		return trigger{}, err
	}
	if len(triggers) != 1 || len(triggers[0].Parameters) == 0 {
		return trigger{}, fmt.Errorf("keda-kafka-trigger.yaml describes %d triggers", len(triggers))
	}
	return triggers[0], nil
}

func (t trigger) mistakesOfScaledObject(document object) []string {
	var found []string
	triggers, _ := nested(document, "spec")["triggers"].([]interface{})
	for i, one := range triggers {
		given, _ := one.(object)
		if given["type"] != t.Type {
			found = append(found, fmt.Sprintf("spec.triggers[%d].type: %v is not known here, only %s is", i, given["type"], t.Type))
			continue
		}
		for _, mistake := range t.mistakesOfMetadata(nested(given, "metadata")) {
			found = append(found, fmt.Sprintf("spec.triggers[%d].metadata.%s", i, mistake))
		}
	}
	return found
}

func (t trigger) mistakesOfMetadata(metadata object) []string {
	var found, known []string
	for _, parameter := range t.Parameters {
		if !parameter.FromMetadata {
			continue
		}
		names := []string{parameter.Name}
		if parameter.FromEnv {
			names = append(names, parameter.Name+"FromEnv")
		}
		known = append(known, names...)
		isGiven := slices.ContainsFunc(names, func(name string) bool { return metadata[name] != nil })
		if !isGiven && !parameter.Optional && parameter.Default == "" {
			found = append(found, parameter.Name+": is required")
		}
		value := fmt.Sprint(metadata[parameter.Name])
		if metadata[parameter.Name] != nil && len(parameter.Allowed) > 0 && !slices.Contains(parameter.Allowed, value) {
			found = append(found, fmt.Sprintf("%s: %q is none of %q", parameter.Name, value, parameter.Allowed))
		}
	}
	for name := range metadata {
		if !slices.Contains(known, name) {
			found = append(found, fmt.Sprintf("%s: unknown; known are %q", name, known))
		}
	}
	return found
}

func (t trigger) mistakesOfAuthentication(document object) []string {
	var found, known []string
	for _, parameter := range t.Parameters {
		if parameter.FromAuth {
			known = append(known, parameter.Name)
		}
	}
	references, _ := nested(document, "spec")["secretTargetRef"].([]interface{})
	for i, one := range references {
		reference, _ := one.(object)
		if name := fmt.Sprint(reference["parameter"]); !slices.Contains(known, name) {
			found = append(found, fmt.Sprintf("spec.secretTargetRef[%d].parameter: %q is none of %q", i, name, known))
		}
	}
	return found
}
