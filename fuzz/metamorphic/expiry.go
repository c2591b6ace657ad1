package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("wait", 150, func(g *generator) wait { return wait{Hours: 1 + g.rnd.IntN(4), Ack: !g.oneIn(4)} })
}

// clock is the time of one store's life, through all its openings. Operations move it, by
// hours. Besides it moves by a microsecond each time it is read, so that a history takes next
// to no time: that never amounts to half an hour, and entries expire half an hour before the
// clock is moved to their hour. So it is the same for all stores what has expired.
type clock struct{ hours, ticks atomic.Int64 }

// clockStart is the hour 0.
var clockStart = time.UnixMilli(1e12)

func (c *clock) now() time.Time {
	return clockStart.Add(time.Duration(c.hours.Load())*time.Hour + time.Duration(c.ticks.Add(1))*time.Microsecond)
}

// Wall and Elapsed implement lsm.Clock.
func (c *clock) Wall() time.Time        { return c.now() }
func (c *clock) Elapsed() time.Duration { return c.now().Sub(clockStart) }

func (c *clock) hour() int { return int(c.hours.Load()) }

// advance moves the clock to an hour, unless it is there: operations are repeated.
func (c *clock) advance(hour int) { c.hours.Store(max(c.hours.Load(), int64(hour))) }

// instant is when what expires at an hour does.
func instant(hour int) time.Time {
	return clockStart.Add(time.Duration(hour)*time.Hour - 30*time.Minute)
}

// hourOf returns the hour at which something expires; the zero time is never, 0.
func hourOf(at time.Time) int {
	if at.IsZero() {
		return 0
	}
	return int((at.Sub(clockStart) + time.Hour - 1) / time.Hour)
}

// hourAt returns the hour at which the clock stood at some time.
func hourAt(at time.Time) int { return int(at.Sub(clockStart) / time.Hour) }

// ttl is how long what is set is to live.
func (a *act) ttl() time.Duration { return time.Duration(a.Hours)*time.Hour - 30*time.Minute }

// expiry is when what is set now is to expire.
func (p *player) expiry(a *act) time.Time { return instant(p.clock.hour() + max(a.Hours, 0)) }

// mortal is an entry that expires, of a scope or, where that does not matter, of any.
type mortal struct {
	in, key string
	expires int
}

// dying returns what expires of s by an hour.
func (s State) dying(hour int) (all []mortal) {
	for _, sp := range s.spaces {
		all = sp.keys.dying(all, sp.name, hour)
	}
	return all
}

func (t *tree) dying(all []mortal, in string, hour int) []mortal {
	if first := t.soonest(); first == 0 || first > hour {
		return all
	}
	if t.expires != 0 && t.expires <= hour {
		all = append(all, mortal{in, t.key, t.expires})
	}
	return t.right.dying(t.left.dying(all, in, hour), in, hour)
}

// wait moves the clock, and looks which expiries are events, if the store tells of them.
type wait struct {
	Hours int
	Ack   bool `json:",omitempty"` // them
}

func (o *wait) model(m *Model) string {
	m.wait(o.Hours)
	return "ok"
}

func (o *wait) apply(p *player) (string, error) {
	p.clock.advance(p.ref.hours[p.at] + o.Hours)
	some, all := p.set.whether(func(w *Way) bool { return w.ExpiryEvents })
	if !some || p.window > 0 {
		return "ok", nil
	}
	missing := map[mortal]bool{}
	if all {
		for _, m := range p.ref.died[p.at] {
			missing[m] = true
		}
	}
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	for {
		events, err := p.db.ExpiryEvents(0)
		if err != nil {
			return "", err
		}
		if line, err := p.hearOf(events, o.Ack, missing); line != "" || err != nil {
			return line, err
		}
		if len(missing) == 0 {
			return "ok", nil
		}
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("%w: no event tells of %v", errLate, missing)
		}
		if o.Ack { // else there are some all the time
			if _, err := p.db.AwaitExpiryEvents(ctx, 1); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return "", err
			}
		}
	}
}

// patience is after how long something that does not come is taken for lost: errLate.
const patience = 15 * time.Second

var errLate = fmt.Errorf("%w: waited in vain", errWrong)

// told identifies an event.
type told struct {
	key     string
	version lsm.Version
}

// hearOf looks at events, of which each must be of an entry that has expired, and none may come
// again that was acknowledged. It returns what is wrong with them, and takes those that are
// there from the missing.
func (p *player) hearOf(events []lsm.ExpiryEvent, ack bool, missing map[mortal]bool) (string, error) {
	for _, e := range events {
		m := mortal{nameOf(e.Scope), string(e.Key), hourOf(e.Expiry)}
		delete(missing, m)
		switch {
		case m.expires > p.clock.hour():
			return fmt.Sprintf("%v has not expired", m), nil
		case !p.ref.mortals[mortal{key: m.key, expires: m.expires}]:
			return fmt.Sprintf("%v was never written", m), nil
		case p.told[told{m.key, e.Version}]:
			return fmt.Sprintf("%v was told before", m), nil
		}
	}
	if !ack || len(events) == 0 {
		return "", nil
	}
	for _, e := range events {
		p.told[told{string(e.Key), e.Version}] = true
	}
	return "", p.db.AckExpiryEvents(lsm.Sync, events...)
}
