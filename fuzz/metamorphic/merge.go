package metamorphic

import (
	"encoding/binary"

	"github.com/loamdb/loam/lsm"
)

func init() { register("pile", 60, (*generator).pile) }

// operators are those that histories merge with, by the names that acts have for them.
var operators = map[string]string{
	"add": lsm.Int64Add, "max": lsm.Int64Max, "min": lsm.Int64Min, "append": lsm.BytesAppend, "tail": tail.Name,
}

// counters is how the keys begin whose values are integers, so that an operator on integers
// never meets anything else.
const counters = "count-"

// tail is an operator whose operands cannot be combined: it appends, and keeps the end.
var tail = lsm.Operator{
	Name: "metamorphic.tail",
	Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
		end := string(value)
		for _, o := range operands {
			end = lastOf(end + string(o))
		}
		return append(dst, end...), nil
	},
}

// lastOf returns the last bytes of a text, so many as the operator tail keeps.
func lastOf(s string) string { return s[max(0, len(s)-100):] }

// folded returns what an operand makes of an entry, nil if there is none, and when that
// expires.
func folded(operator string, old *tree, operand string) (value string, expires int) {
	if old != nil {
		value, expires = old.value, old.expires
	}
	switch operator {
	case lsm.BytesAppend:
		return value + operand, expires
	case tail.Name:
		return lastOf(value + operand), expires
	}
	if old == nil {
		return operand, 0
	}
	a, aerr := lsm.Int64Of([]byte(value))
	b, berr := lsm.Int64Of([]byte(operand))
	switch {
	case aerr != nil || berr != nil:
		return "no integer", expires // no history has such merges
	case operator == lsm.Int64Max:
		a = max(a, b)
	case operator == lsm.Int64Min:
		a = min(a, b)
	default:
		a += b
	}
	return string(lsm.Int64Bytes(a)), expires
}

// integer returns the value as one of a counter: small, or so large that sums wrap.
func (v value) integer() string {
	n := int64(v.N)*7919%2000 - 1000
	if v.Len%7 == 3 {
		n <<= 53
	}
	return string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// merge chooses an operator for a key.
func (g *generator) merge(key text) string {
	if (&act{Key: key}).counts() {
		return []string{"add", "add", "max", "min"}[g.rnd.IntN(4)]
	}
	return []string{"append", "tail"}[g.rnd.IntN(2)]
}

// pile is many acts on one key, one after the other: mostly merges, so that chains get longer
// than a store lets them be.
type pile struct {
	Acts []act
	Sync bool `json:",omitempty"`
}

func (g *generator) pile() pile {
	o := pile{Sync: g.oneIn(20)}
	in, key := g.place(), g.key()
	one := g.merge(key)
	for range 2 + g.rnd.IntN(70) {
		a := act{Do: one, In: in, Key: key, Value: g.value()}
		a.Value.Len = min(a.Value.Len, 60)
		switch {
		case g.oneIn(15):
			a.Do = g.merge(key)
		case g.oneIn(60):
			a.Do, a.Hours = "set", g.rnd.IntN(3)
		case g.oneIn(60):
			a.Do = "delete"
		}
		o.Acts = append(o.Acts, a)
	}
	return o
}

func (o *pile) model(m *Model) string {
	for i := range o.Acts {
		if s, ok := o.Acts[i].in(m, m.now, m.write()); ok {
			m.commit(s, o.Sync)
		}
	}
	return "ok"
}

func (o *pile) apply(p *player) (string, error) {
	for i := range o.Acts {
		t, err := p.target(o.Acts[i].In)
		if err == nil {
			err = p.act(t, &o.Acts[i], writeOptions(o.Sync))
		}
		if err != nil {
			return "", err
		}
	}
	return "ok", nil
}
