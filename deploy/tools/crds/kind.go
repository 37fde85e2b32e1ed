package main

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// kind is one version of a custom resource: its schema in the two forms that the API server itself uses.
type kind struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
	// what no schema says; nil where there is nothing
	further func(object) []string
}

// loadKinds reads every CustomResourceDefinition of schemas/, by apiVersion/kind.
func loadKinds() (map[string]kind, error) {
	trigger, err := loadTrigger()
	if err != nil {
		return nil, err
	}
	further := map[string]func(object) []string{
		"ScaledObject":          trigger.mistakesOfScaledObject,
		"TriggerAuthentication": trigger.mistakesOfAuthentication,
	}
	paths, err := fs.Glob(schemas, "schemas/*_*.yaml")
	if err != nil {
		return nil, err
	}
	kinds := map[string]kind{}
	for _, path := range paths {
		text, err := schemas.ReadFile(path)
		if err != nil {
			return nil, err
		}
		definition := v1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, version := range definition.Spec.Versions {
			made, err := newKind(version.Schema.OpenAPIV3Schema)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			made.further = further[definition.Spec.Names.Kind]
			kinds[definition.Spec.Group+"/"+version.Name+"/"+definition.Spec.Names.Kind] = made
		}
	}
	return kinds, nil
}

func newKind(properties *v1.JSONSchemaProps) (kind, error) {
	internal := apiextensions.JSONSchemaProps{}
	if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(properties, &internal, nil); err != nil {
		return kind{}, err
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		return kind{}, err
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return kind{}, err
	}
	return kind{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit), nil}, nil
}

// mistakes are everything that speaks against a document: fields that the schema does not have, values that it does not take, rules.
func (k kind) mistakes(document object) []string {
	var found []string
	metaError, unknownMeta := objectmeta.CoerceWithOptions(nil, runtime.DeepCopyJSON(document), k.structural, true,
		objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if metaError != nil {
		found = append(found, metaError.Error())
	}
	unknown := pruning.PruneWithOptions(runtime.DeepCopyJSON(document), k.structural, true,
		schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range append(unknown, unknownMeta...) {
		found = append(found, "unknown field "+strings.TrimPrefix(path, "."))
	}
	for _, mistake := range validation.ValidateCustomResource(nil, document, k.validator) {
		found = append(found, mistake.Error())
	}
	broken, _ := k.rules.Validate(context.Background(), nil, k.structural, document, nil, celconfig.RuntimeCELCostBudget)
	for _, mistake := range broken {
		found = append(found, mistake.Error())
	}
	if k.further != nil {
		found = append(found, k.further(document)...)
	}
	return found
}
