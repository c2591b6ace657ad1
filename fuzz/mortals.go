package fuzz

import "time"

// Entries that expire, in histories whose ledger knows no time: some outlive every history,
// some have expired before they are written. The latter are deletes to the ledger, and to
// merges what leaves markers.

// Mortality says when an entry expires.
type Mortality int8

// Mortalities.
const (
	Immortal  Mortality = iota // never: it does not expire
	LongLived                  // after every history
	BornDead                   // before it is written
)

// expiry is when such an entry expires: the clocks of histories begin at 1e12 ms.
func (m Mortality) expiry() time.Time {
	if m == BornDead {
		return time.UnixMilli(9e11)
	}
	return time.UnixMilli(4e12)
}

// mortality returns how an operation is done, which depends on nothing but itself, so that the
// histories of a seed stay what they are.
func mortality(op *Op) Mortality {
	switch {
	case op.Delete && len(op.Key)%2 == 0:
		return BornDead
	case !op.Delete && len(op.Value)%4 == 1:
		return LongLived
	}
	return Immortal
}
