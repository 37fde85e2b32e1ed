// What PromQL expressions ask for, told by Prometheus's own parser: the contract test of dashboards and rules is made of it.
//
// In: a JSON list of expressions, on standard input. Out: a JSON list of the same length, on standard output; each entry has
// either the parser's error, or the selectors with what is around them, and the labels that are grouped by, joined on or
// made. Invariant: nothing is judged here; the test does that.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Facts is all that the test learns of one expression.
type Facts struct {
	Error     string     `json:"error"`
	Kind      string     `json:"kind"` // of the result: vector, scalar, matrix, string
	Selectors []Selector `json:"selectors"`
	Uses      []Use      `json:"uses"`
}

// Selector is one series selector.
type Selector struct {
	Metric   string    `json:"metric"`
	Matchers []Matcher `json:"matchers"`
	RangeMs  int64     `json:"range_ms"` // 0 without a range
	Call     string    `json:"call"`     // the function that it is the argument of, if it is
}

// Matcher is one condition on a label.
type Matcher struct {
	Label string `json:"label"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

// Use is a list of labels that must exist on the metrics below it, or that are made there.
type Use struct {
	What    string   `json:"what"` // by, without, on, ignoring, include
	Labels  []string `json:"labels"`
	Metrics []string `json:"metrics"`
	Made    []string `json:"made"`
}

func main() {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		fmt.Fprintln(os.Stderr, "reading the expressions:", err)
		os.Exit(2)
	}
	facts := make([]Facts, 0, len(expressions))
	for _, expression := range expressions {
		facts = append(facts, factsOf(expression))
	}
	if err := json.NewEncoder(os.Stdout).Encode(facts); err != nil {
		fmt.Fprintln(os.Stderr, "writing the facts:", err)
		os.Exit(2)
	}
}

func factsOf(expression string) Facts {
	facts := Facts{Selectors: []Selector{}, Uses: []Use{}}
	parsed, err := parser.ParseExpr(expression)
	if err != nil {
		facts.Error = err.Error()
		return facts
	}
	facts.Kind = string(parsed.Type())
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		switch found := node.(type) {
		case *parser.VectorSelector:
			facts.Selectors = append(facts.Selectors, selector(found, path))
		case *parser.AggregateExpr:
			what := "by"
			if found.Without {
				what = "without"
			}
			facts.use(what, found.Grouping, found.Expr)
		case *parser.BinaryExpr:
			facts.matching(found)
		}
		return nil
	})
	return facts
}

// The labels of a join must exist on both sides, those that are taken over on the side that has them.
func (facts *Facts) matching(binary *parser.BinaryExpr) {
	matching := binary.VectorMatching
	if matching == nil {
		return
	}
	what := "ignoring"
	if matching.On {
		what = "on"
	}
	facts.use(what, matching.MatchingLabels, binary.LHS)
	facts.use(what, matching.MatchingLabels, binary.RHS)
	one := binary.RHS
	if matching.Card == parser.CardOneToMany {
		one = binary.LHS
	}
	facts.use("include", matching.Include, one)
}

func (facts *Facts) use(what string, names []string, below parser.Expr) {
	if len(names) == 0 {
		return
	}
	use := Use{What: what, Labels: names, Metrics: []string{}, Made: []string{}}
	parser.Inspect(below, func(node parser.Node, _ []parser.Node) error {
		switch found := node.(type) {
		case *parser.VectorSelector:
			use.Metrics = append(use.Metrics, nameOf(found))
		case *parser.Call:
			if found.Func.Name == "label_replace" || found.Func.Name == "label_join" {
				if made, ok := found.Args[1].(*parser.StringLiteral); ok {
					use.Made = append(use.Made, made.Val)
				}
			}
		}
		return nil
	})
	facts.Uses = append(facts.Uses, use)
}

func selector(found *parser.VectorSelector, path []parser.Node) Selector {
	told := Selector{Metric: nameOf(found), Matchers: []Matcher{}}
	for _, matcher := range found.LabelMatchers {
		if matcher.Name != labels.MetricName {
			told.Matchers = append(told.Matchers, Matcher{matcher.Name, matcher.Type.String(), matcher.Value})
		}
	}
	for at := len(path) - 1; at >= 0; at-- {
		switch around := path[at].(type) {
		case *parser.MatrixSelector:
			told.RangeMs = around.Range.Milliseconds()
			continue
		case *parser.Call:
			told.Call = around.Func.Name
		}
		break
	}
	return told
}

func nameOf(found *parser.VectorSelector) string {
	for _, matcher := range found.LabelMatchers {
		if matcher.Name == labels.MetricName && matcher.Type == labels.MatchEqual {
			return matcher.Value
		}
	}
	return found.Name
}
