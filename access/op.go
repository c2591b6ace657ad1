package access

import (
	"fmt"
	"strings"
)

// Verbs is a set of what rules allow and deny. The values are on disk.
type Verbs uint8

// The verbs. None gives another: Write gives no Delete, Admin no Read.
const (
	Read   Verbs = 1 << iota // see values, and whether a key exists
	Write                    // store values
	Delete                   // remove keys; it tells whether they were there
	List                     // see which keys there are
	Admin                    // settings of a scope; on all of ** with every key, the rules too

	// AllVerbs are all of them.
	AllVerbs = Read | Write | Delete | List | Admin
)

var verbNames = [...]string{"read", "write", "delete", "list", "admin"}

// String returns the names, joined by plus signs.
func (v Verbs) String() string {
	var names []string
	for i, name := range verbNames {
		if v&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if v&^AllVerbs != 0 || v == 0 {
		names = append(names, fmt.Sprintf("verbs(%d)", uint8(v&^AllVerbs)))
	}
	return strings.Join(names, "+")
}

// ParseVerbs returns the verbs of a text as String makes it. The error matches ErrInvalid.
func ParseVerbs(text string) (Verbs, error) {
	var v Verbs
	for name := range strings.SplitSeq(text, "+") {
		bit := Verbs(0)
		for i := range verbNames {
			if verbNames[i] == name {
				bit = 1 << i
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("%w: no such verb: %.20q", ErrInvalid, name)
		}
		v |= bit
	}
	return v, nil
}

// Op is an operation that somebody asks for. The values are on disk.
type Op uint8

// Operations. The table ops says which verbs each needs.
const (
	OpGet      Op = 1
	OpHas      Op = 2
	OpSet      Op = 3
	OpUpdate   Op = 4 // whatever writes and tells of what was there: compare and set, increment, patch
	OpDelete   Op = 5
	OpList     Op = 6 // keys alone
	OpScan     Op = 7 // keys with values
	OpWatch    Op = 8
	OpStats    Op = 9 // how many keys and bytes a scope holds
	OpClear    Op = 10
	OpDrop     Op = 11
	OpCopy     Op = 12 // out of the scope; a fork too
	OpCopyTo   Op = 13 // over what the scope holds
	OpMove     Op = 14
	OpMoveTo   Op = 15
	OpExport   Op = 16
	OpImport   Op = 17
	OpSettings Op = 18 // retention, schemas, keys of a scope
	OpRules    Op = 19 // the rules of this package, and the audit

	lastOp = OpRules
)

// reach says what an operation touches.
type reach uint8

const (
	oneKey reach = iota
	wholeScope
	everything
)

var ops = [...]struct {
	name  string
	needs Verbs
	reach reach
}{
	OpGet:      {"get", Read, oneKey},
	OpHas:      {"has", Read, oneKey},
	OpSet:      {"set", Write, oneKey},
	OpUpdate:   {"update", Read | Write, oneKey},
	OpDelete:   {"delete", Delete, oneKey},
	OpList:     {"list", List, oneKey},
	OpScan:     {"scan", Read | List, oneKey},
	OpWatch:    {"watch", Read | List, oneKey},
	OpStats:    {"stats", List, wholeScope},
	OpClear:    {"clear", Delete, wholeScope},
	OpDrop:     {"drop", Delete, wholeScope},
	OpCopy:     {"copy", Read | List, wholeScope},
	OpCopyTo:   {"copy to", Write | Delete, wholeScope},
	OpMove:     {"move", Read | List | Delete, wholeScope},
	OpMoveTo:   {"move to", Write | Delete, wholeScope},
	OpExport:   {"export", Read | List, wholeScope},
	OpImport:   {"import", Read | Write, wholeScope}, // it tells of what was there
	OpSettings: {"change settings", Admin, wholeScope},
	OpRules:    {"change rules", Admin, everything},
}

// Valid reports whether the operation is one.
func (o Op) Valid() bool { return o >= 1 && o <= lastOp }

// String returns the operation's name.
func (o Op) String() string {
	if !o.Valid() {
		return fmt.Sprintf("op(%d)", uint8(o))
	}
	return ops[o].name
}

// Needs returns the verbs without which the operation is denied, none for one that is none.
func (o Op) Needs() Verbs {
	if !o.Valid() {
		return 0
	}
	return ops[o].needs
}

// Whole reports whether the operation is one on a whole scope, or on more.
func (o Op) Whole() bool { return o.Valid() && ops[o].reach != oneKey }
