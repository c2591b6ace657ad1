package state

import (
	"fmt"
	"time"

	"github.com/loamdb/loam/state/envelope"
)

// Option changes one call that writes. Of two that say the same thing the later one counts.
type Option struct {
	class       Class
	sync        syncMode
	life        lifeMode
	ttl         time.Duration
	at          time.Time
	correlation string
}

type syncMode uint8

const (
	syncByClass syncMode = iota
	synced
	unsynced
)

type lifeMode uint8

const (
	lifeAsIs lifeMode = iota // a value that is changed keeps its expiry, a new one has none
	lifeTTL
	lifeUntil
)

var (
	// Sync makes the write return when it is on the device.
	Sync = Option{sync: synced}
	// NoSync makes the write return before it is on the device: it then survives the process,
	// killed at any instant, but not a power cut. A value of class Sensitive waits all the same.
	NoSync = Option{sync: unsynced}
)

// WithClass gives the value a class, whatever the defaults are.
func WithClass(c Class) Option { return Option{class: c} }

// WithTTL makes the value expire after ttl, which is positive, to the millisecond, rounded up.
func WithTTL(ttl time.Duration) Option { return Option{life: lifeTTL, ttl: ttl} }

// WithExpiry makes the value expire at an instant, by the store's time. One that is past makes the
// key absent at once; the zero Time means never.
func WithExpiry(at time.Time) Option { return Option{life: lifeUntil, at: at} }

// WithCorrelation stores an id of what the value is written for beside it: 1 to 128 bytes of valid
// UTF-8. Without it that of the context counts, see hook.WithCorrelation.
func WithCorrelation(id string) Option { return Option{correlation: id} }

// join returns what the options of a call say together.
func join(opts []Option) Option {
	var all Option
	for i := range opts {
		o := &opts[i]
		if o.class != 0 {
			all.class = o.class
		}
		if o.sync != syncByClass {
			all.sync = o.sync
		}
		if o.life != lifeAsIs {
			all.life, all.ttl, all.at = o.life, o.ttl, o.at
		}
		if o.correlation != "" {
			all.correlation = o.correlation
		}
	}
	return all
}

// expiry returns when a value expires that is written now, in milliseconds since 1970, 0 for
// never; old is when the value before did.
func (o *Option) expiry(now, old int64) (int64, error) {
	switch o.life {
	case lifeTTL:
		ms := o.ttl.Milliseconds()
		if o.ttl%time.Millisecond != 0 {
			ms++
		}
		if o.ttl <= 0 || ms > int64(envelope.MaxMillis)-now {
			return 0, fmt.Errorf("%w: a time to live of %v", ErrInvalidExpiry, o.ttl)
		}
		return now + ms, nil
	case lifeUntil:
		if o.at.IsZero() {
			return 0, nil
		}
		ms := o.at.UnixMilli()
		if o.at.Nanosecond()%int(time.Millisecond) != 0 {
			ms++
		}
		if ms <= 0 || ms > int64(envelope.MaxMillis) {
			return 0, fmt.Errorf("%w: %v", ErrInvalidExpiry, o.at)
		}
		return ms, nil
	}
	return old, nil
}
