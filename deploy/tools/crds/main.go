// crds holds manifests of custom resources against the schemas of those who defined them, strictly: unknown fields are mistakes.
//
// In: YAML files of any number of documents. Out: one line a mistake; exit code 0 where there is none, 1 where there is, or where
// no document was of a kind that is known here. Documents of Kubernetes's own kinds are left to others, and counted.
// The schemas are those of schemas/, which schemas.sh fetches: the rules in them (CEL) are evaluated too, and the metadata of KEDA's
// triggers on Kafka, which are free text to its CRD, are held against KEDA's own list of them.
package main

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

//go:embed schemas/*.yaml
var schemas embed.FS

type object = map[string]interface{}

func main() {
	kinds, err := loadKinds()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crds: the schemas cannot be used:", err)
		os.Exit(2)
	}
	validated, left, mistakes := 0, 0, 0
	for _, path := range os.Args[1:] {
		documents, err := read(path)
		if err != nil {
			fmt.Printf("%s: %v\n", path, err)
			mistakes++
			continue
		}
		for _, document := range documents {
			kind, isKnown := kinds[fmt.Sprint(document["apiVersion"], "/", document["kind"])]
			if !isKnown {
				left++
				continue
			}
			validated++
			for _, mistake := range kind.mistakes(document) {
				fmt.Printf("%s: %v %v: %s\n", path, document["kind"], nested(document, "metadata")["name"], mistake)
				mistakes++
			}
		}
	}
	fmt.Printf("%d validated, %d of other kinds, %d mistakes\n", validated, left, mistakes)
	if mistakes > 0 || validated == 0 {
		os.Exit(1)
	}
}

// read gives a file's documents. A key that is there twice is an error, as kubectl has it.
func read(path string) ([]object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var documents []object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		part, err := reader.Read()
		if err == io.EOF {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		asJSON, err := yaml.YAMLToJSONStrict(part)
		if err != nil {
			return nil, err
		}
		document := object{}
		if err := json.Unmarshal(asJSON, &document); err != nil {
			return nil, err
		}
		if len(document) > 0 {
			documents = append(documents, document)
		}
	}
}

func nested(of object, name string) object {
	inner, _ := of[name].(object)
	return inner
}
