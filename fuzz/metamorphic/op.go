package metamorphic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Op is one operation of a history: a small value, all of whose fields are exported, so
// that it can be printed and read again. It makes sense in any state, whatever came before
// it: that of a history any part can be left out is what shrinking relies on.
type Op interface {
	// model does the operation to the model and returns the line that a store must give.
	model(m *Model) string
	// apply does it to a store and returns the line. What the operation's caller must
	// expect, such as lsm.ErrConflict, is a line; an error is one of the machine.
	apply(p *player) (string, error)
}

// kind is a kind of operations.
type kind struct {
	name   string
	weight int // how often it occurs, of the sum of all weights
	make   func(*generator) Op
	blank  func() Op
}

var (
	kinds     []kind
	kindNames = map[reflect.Type]string{}
)

// register makes a kind of operations part of histories.
func register[T any, P interface {
	*T
	Op
}](name string, weight int, random func(*generator) T) {
	kinds = append(kinds, kind{name, weight,
		func(g *generator) Op {
			op := random(g)
			return P(&op)
		},
		func() Op { return P(new(T)) },
	})
	kindNames[reflect.TypeFor[P]()] = name
}

// text is a key, a bound, or the name of a scope, which is printed as Go writes strings.
type text string

// MarshalText implements encoding.TextMarshaler.
func (t text) MarshalText() ([]byte, error) {
	quoted := strconv.QuoteToASCII(string(t))
	return []byte(quoted[1 : len(quoted)-1]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *text) UnmarshalText(p []byte) error {
	s, err := strconv.Unquote(`"` + string(p) + `"`)
	*t = text(s)
	return err
}

// formatOp returns an operation as a line: the name of its kind and its fields.
func formatOp(op Op) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(op); err != nil {
		return fmt.Sprintf("%T: %v", op, err) // no operation has such fields; parseOp refuses it
	}
	return kindNames[reflect.TypeOf(op)] + " " + strings.TrimSpace(b.String())
}

// parseOp reads what formatOp returns.
func parseOp(line string) (Op, error) {
	name, fields, _ := strings.Cut(line, " ")
	for _, k := range kinds {
		if k.name == name {
			op := k.blank()
			d := json.NewDecoder(strings.NewReader(fields))
			d.DisallowUnknownFields()
			if err := d.Decode(op); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return op, nil
		}
	}
	return nil, fmt.Errorf("no operation is called %q", name)
}
