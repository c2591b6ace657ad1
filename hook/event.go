package hook

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/loamdb/loam/scope"
)

// ID names an event. Ids of one Dispatcher are in the order in which they were made; two
// Dispatchers have different ones, since each begins with eight random bytes.
type ID [16]byte

// makeID returns the n-th id of the dispatcher whose random number is given.
func makeID(random, n uint64) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], random)
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// IsZero reports whether the id is the zero ID, which names no event.
func (id ID) IsZero() bool { return id == ID{} }

// String returns 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID returns the id of a text that String has made. Errors match ErrInvalid.
func ParseID(text string) (ID, error) {
	var id ID
	if p, err := hex.DecodeString(text); err == nil && copy(id[:], p) == len(id) && id.String() == text {
		return id, nil
	}
	return ID{}, fmt.Errorf("%w: no id of an event: %.40q", ErrInvalid, text)
}

// Event tells of a change that was made.
type Event struct {
	// ID names the event.
	ID ID
	// Time is when the change was made, to the nanosecond, without a zone.
	Time time.Time
	// SeqNum is the number of the change, or one of its commit's where that is not known, 0 where there was no
	// commit. It is the same in the event as it is recorded, and orders the event among those of other commits.
	SeqNum uint64
	// Op says what was done.
	Op Op
	// Scope is where. The zero Scope is the whole store.
	Scope scope.Scope
	// To is the scope that a copy or move went to, else the zero Scope.
	To scope.Scope
	// Key is empty for operations on whole scopes.
	Key string
	// Collection is that of the document which Key names, as collection, slash and the document's key; empty
	// where Key is a key of the scope, which may be called the same.
	Collection string
	// Version is the key's version from then on, and SeqNum then, 0 if it has none or that is not known, as in
	// transactions.
	Version uint64
	// Actor is who made the change, empty if nobody said.
	Actor string
	// Correlation is the id that the caller gave in the context, empty if none.
	Correlation string
	// Cause is the event that set the change off: it was made with the context of a hook
	// that was handling this event. Zero if there is none.
	Cause ID
	// Values are nil unless somebody asked for them.
	Values *Values
}

// Values are what a change found and left. What they refer to must not be changed.
type Values struct {
	// Old is the value before, where HasOld.
	Old any
	// New is the value after, where HasNew.
	New any
	// HasOld and HasNew tell no value from a value that is nil.
	HasOld, HasNew bool
}

// CorrelationID returns the id under which the event is found with those that belong to the
// same whole: the caller's, or where there was none the event's own id as text.
func (ev *Event) CorrelationID() string {
	if ev.Correlation != "" {
		return ev.Correlation
	}
	return ev.ID.String()
}

// change returns the change that the event tells of.
func (ev *Event) change() Change {
	c := Change{Op: ev.Op, Scope: ev.Scope, To: ev.To, Key: ev.Key, Collection: ev.Collection}
	if ev.Values != nil && ev.Values.HasNew {
		c.Give(ev.Values.New)
	}
	return c
}
