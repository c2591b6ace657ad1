package timeline

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/scope"
)

// The encoding of an event. Canonical description: docs/formats/event.md.
//
//	version u8 · op u8 · flags u8 · time i64 · id 16
//	sequence number · version        uvarints
//	scope · key · actor · correlation  each behind its length
//	[to] · [cause 16] · [collection] · [old] · [new]  as the flags say; all but the cause behind their lengths
const version = 1

const (
	hasTo     = 1 << iota // a copy or move
	hasCause              // another event set this one off
	hasValues             // values were recorded, though there may be none
	hasOld
	hasNew
	hasCollection // the key names a document of it

	allFlags = 1<<iota - 1
	namesOf  = hasTo | hasCause | hasCollection
)

// Encode appends the encoding of an event to dst. The codec may be nil for an event
// without values. Errors match ErrInvalid or are the codec's.
func Encode(dst []byte, ev *hook.Event, c Codec) ([]byte, error) {
	if err := check(ev); err != nil {
		return nil, fmt.Errorf("%w: event: %w", ErrInvalid, err)
	}
	flags := flagsOf(ev)
	dst = append(dst, version, byte(ev.Op), flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ev.Time.UnixNano()))
	dst = append(dst, ev.ID[:]...)
	dst = binary.AppendUvarint(dst, ev.SeqNum)
	dst = binary.AppendUvarint(dst, ev.Version)
	dst = codec.AppendLengthPrefixed(dst, appendScope(nil, ev.Scope))
	for _, s := range []string{ev.Key, ev.Actor, ev.Correlation} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	if flags&hasTo != 0 {
		dst = codec.AppendLengthPrefixed(dst, appendScope(nil, ev.To))
	}
	if flags&hasCause != 0 {
		dst = append(dst, ev.Cause[:]...)
	}
	if flags&hasCollection != 0 {
		dst = codec.AppendLengthPrefixed(dst, []byte(ev.Collection))
	}
	for _, v := range valuesOf(ev, flags) {
		p, err := c.Append(nil, v)
		if err != nil {
			return nil, fmt.Errorf("timeline: value of event %s: %w", ev.ID, err)
		}
		dst = codec.AppendLengthPrefixed(dst, p)
	}
	return dst, nil
}

func flagsOf(ev *hook.Event) byte {
	var flags byte
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{ev.To.Kind() != scope.AnyKind, hasTo},
		{!ev.Cause.IsZero(), hasCause},
		{ev.Values != nil, hasValues},
		{ev.Values != nil && ev.Values.HasOld, hasOld},
		{ev.Values != nil && ev.Values.HasNew, hasNew},
		{ev.Collection != "", hasCollection},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

func valuesOf(ev *hook.Event, flags byte) []any {
	var values []any
	if flags&hasOld != 0 {
		values = append(values, ev.Values.Old)
	}
	if flags&hasNew != 0 {
		values = append(values, ev.Values.New)
	}
	return values
}

// Decode returns the event of an encoding, of which it keeps nothing. The codec may be nil
// where no values were recorded. Errors match ErrMalformed, ErrTooNew, ErrInvalid where a
// codec lacks, or are the codec's.
func Decode(p []byte, c Codec) (hook.Event, error) {
	d := codec.NewDecoder(p)
	if v := d.Uint8(); d.Err() == nil && v > version {
		return hook.Event{}, fmt.Errorf("%w: event of version %d", ErrTooNew, v)
	} else if d.Err() == nil && v != version {
		return hook.Event{}, fmt.Errorf("%w: event of version %d", ErrMalformed, v)
	}
	ev := hook.Event{Op: hook.Op(d.Uint8())}
	flags := d.Uint8()
	if flags&^allFlags != 0 || flags&(hasOld|hasNew) != 0 && flags&hasValues == 0 {
		d.Fail(codec.ErrMalformed)
	}
	ev.Time = time.Unix(0, int64(d.Uint64())).UTC()
	copy(ev.ID[:], d.Bytes(len(ev.ID)))
	ev.SeqNum, ev.Version = d.Uvarint(), d.Uvarint()
	ev.Scope = decodeScope(&d)
	ev.Key, ev.Actor, ev.Correlation = string(d.LengthPrefixed()), string(d.LengthPrefixed()), string(d.LengthPrefixed())
	if flags&hasTo != 0 {
		ev.To = decodeScope(&d)
	}
	if flags&hasCause != 0 {
		copy(ev.Cause[:], d.Bytes(len(ev.Cause)))
	}
	if flags&hasCollection != 0 {
		ev.Collection = string(d.LengthPrefixed())
	}
	values := [2][]byte{}
	for i, flag := range []byte{hasOld, hasNew} {
		if flags&flag != 0 {
			values[i] = d.LengthPrefixed()
		}
	}
	err := d.Err()
	switch {
	case err == nil && d.Len() > 0:
		err = fmt.Errorf("%d bytes behind it", d.Len())
	case err == nil && flagsOf(&ev)&namesOf != flags&namesOf:
		err = codec.ErrMalformed
	case err == nil:
		err = check(&ev)
	}
	if err != nil {
		return hook.Event{}, fmt.Errorf("%w: event: %w", ErrMalformed, err)
	}
	return ev, decodeValues(&ev, flags, values, c)
}

func decodeValues(ev *hook.Event, flags byte, values [2][]byte, c Codec) error {
	if flags&hasValues == 0 {
		return nil
	}
	v := &hook.Values{HasOld: flags&hasOld != 0, HasNew: flags&hasNew != 0}
	if c == nil && (v.HasOld || v.HasNew) {
		return fmt.Errorf("%w: no codec of recorded values", ErrInvalid)
	}
	var err error
	if v.HasOld {
		v.Old, err = c.Decode(values[0])
	}
	if v.HasNew && err == nil {
		v.New, err = c.Decode(values[1])
	}
	if err != nil {
		return fmt.Errorf("timeline: value of event %s: %w", ev.ID, err)
	}
	ev.Values = v
	return nil
}

// check returns which rule of recorded events this one breaks.
func check(ev *hook.Event) error {
	for _, s := range []scope.Scope{ev.Scope, ev.To} {
		if s.Kind() == scope.AnyKind {
			continue
		}
		if err := s.Validate(); err != nil {
			return err
		}
	}
	switch {
	case !ev.Op.Valid():
		return fmt.Errorf("no such operation: %d", uint8(ev.Op))
	case ev.ID.IsZero():
		return fmt.Errorf("no id")
	case !ev.Time.Equal(time.Unix(0, ev.Time.UnixNano())):
		return fmt.Errorf("the time is not within the years 1678 to 2262")
	case len(ev.Actor) > hook.MaxCorrelationLen || len(ev.Correlation) > hook.MaxCorrelationLen:
		return fmt.Errorf("actor or correlation id exceed %d bytes", hook.MaxCorrelationLen)
	case len(ev.Key) > maxKeyLen:
		return fmt.Errorf("the key exceeds %d bytes", maxKeyLen)
	case strings.Contains(ev.Key, "\x00") || strings.Contains(ev.Correlation, "\x00"):
		return fmt.Errorf("key or correlation id hold a zero byte")
	case ev.Collection != "" && !strings.HasPrefix(ev.Key, ev.Collection+"/"):
		return fmt.Errorf("the key is of no document of its collection")
	}
	return nil
}

// maxKeyLen bounds keys of events, and with them those of the timeline.
const maxKeyLen = 4096

// appendScope appends the key form of s, nothing for the whole store.
func appendScope(dst []byte, s scope.Scope) []byte {
	if s.Kind() == scope.AnyKind {
		return dst
	}
	return scope.AppendKey(dst, s)
}

func decodeScope(d *codec.Decoder) scope.Scope {
	p := d.LengthPrefixed()
	if len(p) == 0 {
		return scope.Scope{}
	}
	s, err := scope.ParseKey(p)
	if err != nil {
		d.Fail(err)
	}
	return s
}
