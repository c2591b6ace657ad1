package linear

import (
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// narrow returns the operations with the moments of their effects bounded as closely as what
// was seen tells: the writes whose tokens a value shows come before whoever saw it, in the order
// of the tokens. Nothing else is assumed, so that the history is linearizable if and only if
// the narrowed one is; but Porcupine has far fewer orders to try. It reports false if an
// operation is left no moment: then the history is not linearizable.
func narrow(ops []porcupine.Operation) ([]porcupine.Operation, bool) {
	ops = slices.Clone(ops)
	wrote := map[string]*porcupine.Operation{}
	for i := range ops {
		for _, c := range ops[i].Input.(input).writes {
			if c.token != "" {
				wrote[c.token] = &ops[i]
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for i := range ops {
			for _, value := range values(&ops[i]) {
				var before *porcupine.Operation
				for token := range strings.SplitAfterSeq(value, ".") {
					if op := wrote[token]; op != nil { // else it was there, or is wrong
						changed = order(before, op) || changed
						before = op
					}
				}
				changed = order(before, &ops[i]) || changed
			}
		}
	}
	return ops, !slices.ContainsFunc(ops, func(op porcupine.Operation) bool { return op.Call > op.Return })
}

// order says that a comes before b, and reports whether that was news.
func order(a, b *porcupine.Operation) bool {
	if a == nil || a == b || a.Return <= b.Return && b.Call >= a.Call {
		return false
	}
	a.Return, b.Call = min(a.Return, b.Return), max(b.Call, a.Call)
	return true
}

// values returns what an operation has seen.
func values(op *porcupine.Operation) []string {
	in, out := op.Input.(input), op.Output.(output)
	if in.verb == cas && !out.unknown && !out.refused {
		return []string{in.expected}
	}
	var seen []string
	for key, value := range out.seen {
		if in.reads.has(key) && !(in.verb == read && out.unknown) {
			seen = append(seen, value)
		}
	}
	return seen
}
