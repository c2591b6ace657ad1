package fold

import "github.com/loamdb/loam/internal/keys"

// Combine appends to dst one merge entry's value that does what two of them do, the older one
// right below the newer one, and reports whether there is one: not for operators that cannot
// combine, nor across operators and schemas, nor where a value that expires between the two
// could lie below: the older operand would go with it and the newer one stay (O3). expires
// reports whether one may, within (after, upTo]; nil says that none does.
func (o *Operators) Combine(dst, older, newer []byte, expires func(after, upTo int64) bool) ([]byte, bool) {
	a, x := Split(older)
	b, y := Split(newer)
	op := o.ByID(b.Operator)
	if op == nil || op.Combine == nil || a.Operator != b.Operator || a.Stamp != b.Stamp {
		return dst, false
	}
	if a.Time != b.Time && expires != nil && expires(min(a.Time, b.Time), max(a.Time, b.Time)) {
		return dst, false
	}
	out, err := op.Combine(append(dst, newer[:keys.MergeHeaderLen]...), x, y)
	if err != nil || len(out)-len(dst) > keys.MaxValueLen {
		return dst, false // it comes out when somebody folds
	}
	return out, true
}
