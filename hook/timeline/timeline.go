package timeline

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/loamdb/loam/hook"
)

// Errors of this package.
var (
	// ErrInvalid is the error of an event that cannot be recorded, and of options that
	// cannot be. The text says why.
	ErrInvalid = errors.New("timeline: invalid")
	// ErrNotFound is the error of an id under which no event is recorded.
	ErrNotFound = errors.New("timeline: no such event")
	// ErrMalformed is the error of bytes that are no event or no key of the timeline.
	ErrMalformed = errors.New("timeline: malformed")
	// ErrTooNew is the error of an event of a later format.
	ErrTooNew = errors.New("timeline: format is too new")
)

// Entry is a key with its value.
type Entry struct {
	// Key and Value are bytes; nobody changes them.
	Key, Value []byte
	// Number is, of an entry that was read, the number of its own within the commit that wrote
	// it; 0 where the store has none.
	Number uint64
}

// Store keeps entries in the order of their keys as bytes. The timeline has it for itself.
// Many goroutines may use it at once.
type Store interface {
	// Apply writes entries, over those that are there, and deletes keys: all or nothing.
	Apply(ctx context.Context, writes []Entry, deletes [][]byte) error
	// Get returns the entry of a key, and whether there is one.
	Get(ctx context.Context, key []byte) (e Entry, ok bool, err error)
	// Scan yields the entries from lower up to upper, which is not one of them, in order. It
	// ends at its first error. What is written meanwhile it may or may not yield.
	Scan(ctx context.Context, lower, upper []byte) iter.Seq2[Entry, error]
}

// Codec turns values into bytes and back.
type Codec interface {
	// Append appends the bytes of v to dst.
	Append(dst []byte, v any) ([]byte, error)
	// Decode returns the value of bytes, of which it keeps nothing.
	Decode(p []byte) (any, error)
}

// Options of a Timeline.
type Options struct {
	// Codec is needed for RecordValues, and to read what was recorded with it.
	Codec Codec
	// RecordValues records old and new values of events that have them. Without it they are
	// left out, and hooks that need them cannot be replayed.
	RecordValues bool
}

// Timeline records events and finds them. All methods may be called by many goroutines.
type Timeline struct {
	store   Store
	options Options
}

// New returns a Timeline over a store. The error matches ErrInvalid.
func New(s Store, o Options) (*Timeline, error) {
	if o.RecordValues && o.Codec == nil {
		return nil, fmt.Errorf("%w: no codec of the values to record", ErrInvalid)
	}
	return &Timeline{store: s, options: o}, nil
}

// Record records events, all or none. One that is recorded already is written once more.
// Errors match ErrInvalid or are those of the codec or the store.
func (t *Timeline) Record(ctx context.Context, events ...hook.Event) error {
	var entries []Entry
	var err error
	for i := range events {
		if entries, err = t.AppendEntries(entries, &events[i]); err != nil {
			return err
		}
	}
	if err := t.store.Apply(ctx, entries, nil); err != nil {
		return fmt.Errorf("timeline: record: %w", err)
	}
	return nil
}

// AppendEntries appends what Record writes for an event to dst, the event itself last, for whoever
// writes it together with the change. The number of that commit is not known then: where SeqNum is 0
// it is taken from the Number of the entry when the event is read. Version says in that case how
// many numbers behind the event's entry the change has its own in the same commit, 0 where that is
// not known. Errors are as of Record.
func (t *Timeline) AppendEntries(dst []Entry, ev *hook.Event) ([]Entry, error) {
	e := *ev
	if !t.options.RecordValues {
		e.Values = nil
	}
	p, err := Encode(nil, &e, t.options.Codec)
	if err != nil {
		return dst, err
	}
	for _, key := range indexKeys(ev) {
		dst = append(dst, Entry{Key: key})
	}
	return append(dst, Entry{Key: eventKey(ev), Value: p}), nil
}

// decode returns the event of an entry.
func (t *Timeline) decode(e *Entry) (hook.Event, error) {
	ev, err := Decode(e.Value, t.options.Codec)
	if err == nil && ev.SeqNum == 0 && e.Number != 0 { // recorded in the commit of the change
		ev.SeqNum = e.Number + ev.Version
		if ev.Op != hook.OpSet {
			ev.Version = 0
		} else if ev.Version != 0 {
			ev.Version = ev.SeqNum
		}
	}
	return ev, err
}
