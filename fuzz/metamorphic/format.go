package metamorphic

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A history that has failed is a file of testdata/regress: comments that tell the story, the
// option set, how often it is played, and the operations.
//
//	# What was wrong.
//	times 10
//	options {"Name":"small","Files":"logged","Ways":[{…}]}
//	write {"Do":"set","Key":"k","Value":{"N":1,"Len":2}}
//	flush {}

// Format returns the history of f as such a file.
func (f *Failure) Format() string {
	var b strings.Builder
	for line := range strings.Lines(f.Error()) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
	}
	set, err := json.Marshal(f.Set)
	if err != nil {
		set = []byte(err.Error()) // no set has such fields
	}
	fmt.Fprintf(&b, "times 1\noptions %s\n", set)
	for _, op := range f.Ops {
		b.WriteString(formatOp(op))
		b.WriteByte('\n')
	}
	return b.String()
}

// Regression is a history that has failed.
type Regression struct {
	Set   Set
	Times int
	Ops   []Op
}

// ParseRegression reads a file of testdata/regress.
func ParseRegression(text string) (*Regression, error) {
	r := &Regression{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		var err error
		switch name {
		case "times":
			_, err = fmt.Sscan(rest, &r.Times)
		case "options":
			err = json.Unmarshal([]byte(rest), &r.Set)
		default:
			var op Op
			op, err = parseOp(line)
			r.Ops = append(r.Ops, op)
		}
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", line, err)
		}
	}
	if r.Times < 1 || len(r.Set.Ways) == 0 || len(r.Ops) == 0 {
		return nil, fmt.Errorf("times, options and operations are needed")
	}
	return r, nil
}

// Play plays the history as often as it says.
func (r *Regression) Play() *Failure {
	ref := consult(r.Ops)
	for range r.Times {
		if _, f := play(&r.Set, ref); f != nil {
			return f
		}
	}
	return nil
}
