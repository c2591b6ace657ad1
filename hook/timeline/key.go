package timeline

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

// The keys of the timeline. Canonical description: docs/formats/event.md. A place is a time
// and an id, 24 bytes, by which everything is ordered.
//
//	01 · place                              the event
//	02 · id · place                         by id
//	03 · correlation id · 00 · place        by correlation
//	04 · length u16 · scope · place         by scope, that of To as well
//	05 · length u16 · scope · key · 00 · place   by key
//	06 · cause · place                      by cause
const (
	kindEvent       = 1
	kindID          = 2
	kindCorrelation = 3
	kindScope       = 4
	kindKey         = 5
	kindCause       = 6
)

const placeLen = 8 + 16

func appendTime(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixNano())^1<<63)
}

func appendPlace(dst []byte, ev *hook.Event) []byte {
	return append(appendTime(dst, ev.Time), ev.ID[:]...)
}

func eventKey(ev *hook.Event) []byte { return appendPlace([]byte{kindEvent}, ev) }

// indexKeys returns the keys by which an event is found, those of its place apart.
func indexKeys(ev *hook.Event) [][]byte {
	prefixes := [][]byte{idPrefix(ev.ID), correlationPrefix(ev.CorrelationID()), scopePrefix(ev.Scope)}
	if ev.To.Kind() != scope.AnyKind && ev.To != ev.Scope {
		prefixes = append(prefixes, scopePrefix(ev.To))
	}
	if ev.Key != "" {
		prefixes = append(prefixes, keyPrefix(ev.Scope, ev.Key))
	}
	if !ev.Cause.IsZero() {
		prefixes = append(prefixes, causePrefix(ev.Cause))
	}
	for i := range prefixes {
		prefixes[i] = appendPlace(prefixes[i], ev)
	}
	return prefixes
}

func idPrefix(id hook.ID) []byte { return append([]byte{kindID}, id[:]...) }

func causePrefix(id hook.ID) []byte { return append([]byte{kindCause}, id[:]...) }

func correlationPrefix(id string) []byte {
	return append(append([]byte{kindCorrelation}, id...), 0)
}

func scopePrefix(s scope.Scope) []byte {
	form := appendScope(nil, s)
	return append(binary.BigEndian.AppendUint16([]byte{kindScope}, uint16(len(form))), form...)
}

func keyPrefix(s scope.Scope, key string) []byte {
	p := scopePrefix(s)
	p[0] = kindKey
	return append(append(p, key...), 0)
}

// bounds returns the keys between which a range lies behind a prefix.
func (r Range) bounds(prefix []byte) (lower, upper []byte, err error) {
	for _, t := range []time.Time{r.From, r.To} {
		if !t.IsZero() && !t.Equal(time.Unix(0, t.UnixNano())) {
			return nil, nil, fmt.Errorf("%w: a time of a range is not within the years 1678 to 2262", ErrInvalid)
		}
	}
	lower = append([]byte(nil), prefix...)
	if !r.From.IsZero() {
		lower = appendTime(lower, r.From)
	}
	upper = append([]byte(nil), prefix...)
	if !r.To.IsZero() {
		return lower, appendTime(upper, r.To), nil
	}
	// Behind a prefix there are places alone, none of which is above this.
	for range placeLen {
		upper = append(upper, 0xFF)
	}
	return lower, append(upper, 0), nil
}

// eventKeyOf returns the key of the event to which a key of the timeline belongs.
func eventKeyOf(key []byte) ([]byte, error) {
	if len(key) < 1+placeLen {
		return nil, fmt.Errorf("%w: key %x", ErrMalformed, key)
	}
	return append([]byte{kindEvent}, key[len(key)-placeLen:]...), nil
}
