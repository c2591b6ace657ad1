package linear

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// keys is the number of keys of a history: few, so that clients meet.
const keys = 4

// state is what the keys hold; "" is absent.
type state [keys]string

// keySet has a bit for each key.
type keySet uint8

func (k keySet) has(key int) bool { return k>>key&1 == 1 }

// verb is what an operation does.
type verb uint8

const (
	read  verb = iota // one key or several, all at one moment
	write             // one key or several, whatever they hold
	cas               // write one key, if it holds what was read before
	txn               // read, and write if nothing of it has changed
)

// String returns the verb's name.
func (v verb) String() string { return [...]string{"read", "write", "cas", "txn"}[v] }

// change is what becomes of a key: removed, then extended by a token. The zero value leaves
// it as it is.
type change struct {
	remove bool
	token  string
}

// input is an operation as it was called.
type input struct {
	verb     verb
	reads    keySet
	expected string // what the key must hold: cas
	writes   [keys]change
}

// touched returns the keys that the operation reads or writes.
func (in input) touched() keySet {
	set := in.reads
	for key, c := range in.writes {
		if c != (change{}) {
			set |= 1 << key
		}
	}
	return set
}

// output is what its client was told.
type output struct {
	unknown bool // not how it went; a transaction has seen what it has read all the same
	refused bool // ErrConflict
	seen    state
}

// step reports whether a store in state s may give the output, and what it then holds.
func step(s state, in input, out output) (bool, state) {
	agrees := true
	for key := range s {
		agrees = agrees && (!in.reads.has(key) || s[key] == out.seen[key])
	}
	switch in.verb {
	case read:
		return agrees || out.unknown, s
	case cas:
		holds := true
		for key, c := range in.writes {
			holds = holds && (c == change{} || s[key] == in.expected)
		}
		if !holds || out.refused {
			return out.unknown || holds != out.refused, s
		}
	case txn:
		// One that is refused has read what is not so any more, or what others were writing.
		if !agrees || out.refused {
			return out.unknown || out.refused, s
		}
	}
	for key, c := range in.writes {
		if c.remove {
			s[key] = ""
		}
		s[key] += c.token
	}
	return true, s
}

// model is a store that holds something and does one operation after the other.
func model(holds state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return holds },
		Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
	}
}

// partition parts operations by key, if each of them touches only one.
func partition(history []porcupine.Operation) [][]porcupine.Operation {
	parts := map[keySet][]porcupine.Operation{}
	for _, op := range history {
		set := op.Input.(input).touched()
		if set&(set-1) != 0 {
			return [][]porcupine.Operation{history}
		}
		parts[set] = append(parts[set], op)
	}
	var out [][]porcupine.Operation
	for key := range keys {
		if part := parts[1<<key]; part != nil {
			out = append(out, part)
		}
	}
	return out
}

func describe(in input, out output) string {
	var b strings.Builder
	b.WriteString(in.verb.String())
	for key, c := range in.writes {
		switch {
		case in.verb == cas && c != change{}:
			fmt.Fprintf(&b, " %d: %q to %q", key, in.expected, c.token)
		case c.remove:
			fmt.Fprintf(&b, " %d=%q", key, c.token)
		case c.token != "":
			fmt.Fprintf(&b, " %d+=%q", key, c.token)
		}
	}
	if in.reads != 0 {
		b.WriteString(" saw")
	}
	for key, value := range out.seen {
		if in.reads.has(key) {
			fmt.Fprintf(&b, " %d=%q", key, value)
		}
	}
	switch {
	case out.unknown:
		b.WriteString(", outcome unknown")
	case out.refused:
		b.WriteString(", refused")
	}
	return b.String()
}
