// compose reads compose files as `docker compose` does, with its own parser, and prints the whole project as JSON: what is extended,
// merged and interpolated is resolved, every path is absolute. What is unknown, of a wrong type or refers to nothing is an error.
//
// In: the paths of compose files, the later over the earlier. Out: JSON on standard output, or what is wrong and exit code 1.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}

func run(paths []string) error {
	// Nothing of the environment: what a fresh clone does is what counts. Every profile, so that none is left out.
	options, err := cli.NewProjectOptions(paths, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(text))
	return err
}
