package metamorphic

import (
	"errors"
	"fmt"
	"time"

	"github.com/loamdb/loam/lsm"
)

func init() {
	register("hold", 110, func(g *generator) hold { return hold{g.slot(), g.oneIn(2)} })
	register("diff", 140, func(g *generator) diff {
		o := diff{Slot: g.slot(), Snap: g.snap()}
		if g.oneIn(3) {
			o.In = g.scope()
		}
		return o
	})
}

// holding is what the model knows of a position.
type holding struct {
	set      bool
	diverged bool // the store has another history since
}

// hold notes the position of the store, with what it holds there, perhaps with a horizon. What
// was in the slot is forgotten. Positions outlive processes.
type hold struct {
	Slot    int
	Horizon bool `json:",omitempty"`
}

// position is one that the store has handed out.
type position struct {
	set     bool
	where   lsm.Position
	at      int // the operation
	holds   State
	horizon bool // one was set there
	// diverged: the store was salvaged since.
	diverged bool
}

func (o *hold) model(m *Model) string {
	if m.window > 0 {
		return notNow
	}
	m.promise()
	m.holds[o.Slot-1] = holding{set: true}
	return "ok"
}

func (o *hold) apply(p *player) (string, error) {
	if p.window > 0 {
		return notNow, nil
	}
	s, err := p.db.NewSnapshot()
	if err != nil {
		return "", err
	}
	defer s.Close() // always nil
	where, err := s.Position()
	if err != nil {
		return "", err
	}
	h := &p.holds[o.Slot-1]
	name := fmt.Sprintf("slot %d", o.Slot)
	switch {
	case o.Horizon:
		err = p.db.SetHorizon(name, where)
	case h.horizon:
		err = p.db.RemoveHorizon(name)
	}
	*h = position{set: true, where: where, at: p.at, holds: p.state(p.ref.before(p.at)), horizon: o.Horizon}
	return "ok", err
}

// diverge notes that the store has another history now.
func (p *player) diverge() {
	for i := range p.holds {
		p.holds[i].diverged = true
	}
	p.mistrust()
}

// kept reports whether the history must be known from a position on: a horizon stands there,
// and no options have broken it.
func (p *player) kept(h *position) bool {
	breaks, _ := p.set.whether(func(w *Way) bool {
		return w.HorizonMaxBytes > 0 || w.HorizonMaxAge > 0 ||
			w.HorizonMaxAge == 0 && time.Duration(p.clock.hour()-p.ref.hours[h.at])*time.Hour > 29*24*time.Hour
	})
	return h.horizon && !breaks
}

// diff takes the difference from a position to the store as it is, or to a snapshot, of all
// scopes or of one. With what was held there it must make what is held now.
type diff struct {
	Slot int
	In   text `json:",omitempty"`
	Snap int  `json:",omitempty"`
}

func (o *diff) model(m *Model) string {
	s := m.state(o.Snap)
	switch h := m.holds[o.Slot-1]; {
	case !h.set || s == nil:
		return "nothing to compare"
	case h.diverged:
		return "diverged"
	}
	return fmt.Sprint(s.only(string(o.In)).digest())
}

// only returns the state with nothing in it but one scope; "" means all of it.
func (s State) only(name string) State {
	if name == "" {
		return s
	}
	keys, ok := s.find(name)
	if !ok {
		return emptyState()
	}
	return emptyState().with(name, keys)
}

func (o *diff) apply(p *player) (string, error) {
	h := &p.holds[o.Slot-1]
	to := &held{at: p.at, hour: p.clock.hour()}
	if o.Snap > 0 {
		to = p.snaps[o.Snap-1]
	}
	if !h.set || to == nil {
		return "nothing to compare", nil
	}
	if o.Snap == 0 {
		var err error
		if to.Snapshot, err = p.db.NewSnapshot(); err != nil {
			return "", err
		}
		defer to.Snapshot.Close() // always nil
	}
	s, err := o.apart(to.Snapshot, h.where, h.holds)
	if h.diverged && (errors.Is(err, lsm.ErrDiverged) || h.where.IsZero() || !p.lasting()) {
		return "diverged", nil
	}
	if errors.Is(err, lsm.ErrHistoryGone) && !p.kept(h) || errors.Is(err, lsm.ErrInvalidPosition) && to.at <= h.at {
		s, err = o.apart(to.Snapshot, lsm.Position{}, emptyState())
	}
	return fmt.Sprint(s.alive(to.hour).digest()), err
}

// apart applies the difference from a position to what was held there.
func (o *diff) apart(to *lsm.Snapshot, from lsm.Position, held State) (State, error) {
	s := held.only(string(o.In))
	seq := to.Diff(from)
	if o.In != "" {
		sc, err := scopeOf(to, o.In)
		if err != nil {
			return s, err
		}
		seq = sc.Diff(from)
	}
	for c, err := range seq {
		if err == nil {
			s, err = s.changed(&c)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// changed returns the state after a change.
func (s State) changed(c *lsm.Change) (State, error) {
	name := nameOf(c.Scope)
	keys, ok := s.find(name)
	switch key := string(c.Key); {
	case c.Kind == lsm.ChangeNewScope:
		return s.with(name, nil), nil
	case c.Kind == lsm.ChangeDropScope:
		return s.without(name), nil
	case !ok:
		return s, fmt.Errorf("%w: a %s in scope %q, which is not there", errWrong, c.Kind, name)
	case c.Kind == lsm.ChangeSet:
		return s.with(name, keys.set(key, string(c.Value), 0, hourOf(c.Expiry))), nil
	case c.Kind == lsm.ChangeDelete:
		return s.with(name, keys.remove(key, next(key))), nil
	default:
		return s.with(name, keys.remove(key, string(c.Upper))), nil
	}
}
