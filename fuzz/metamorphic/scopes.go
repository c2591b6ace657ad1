package metamorphic

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

func init() {
	register("drop", 110, func(g *generator) drop { return drop{g.scope(), g.sync()} })
	register("move-scope", 90, func(g *generator) moveScope { return moveScope{g.scope(), g.scope(), g.sync()} })
	register("copy", 90, func(g *generator) copyScope {
		return copyScope{In: g.scope(), To: g.scope(), Snap: g.snap(), Then: g.key(), Sync: g.sync()}
	})
	register("list", 120, func(g *generator) list {
		return list{Kind: []scope.Kind{scope.AnyKind, scope.KindAgent, scope.KindStep}[g.rnd.IntN(3)],
			Prefix: []text{"", "", "w1\x00", "w", "a1"}[g.rnd.IntN(5)], Snap: g.snap()}
	})
	register("stats", 90, func(g *generator) stats { return stats{g.scope()} })
}

// drop drops a scope.
type drop struct {
	In   text
	Sync bool `json:",omitempty"`
}

func (o *drop) model(m *Model) string {
	if _, ok := m.now.find(string(o.In)); ok {
		m.commit(m.now.without(string(o.In)), o.Sync)
	}
	return "ok"
}

func (o *drop) apply(p *player) (string, error) {
	sc, err := p.scope(o.In)
	if err != nil {
		return "", err
	}
	return outcome(sc.Drop(writeOptions(o.Sync)))
}

// moveScope gives a scope another name.
type moveScope struct {
	In, To text
	Sync   bool `json:",omitempty"`
}

func (o *moveScope) model(m *Model) string {
	keys, ok := m.now.find(string(o.In))
	if !ok {
		return "not found"
	}
	if _, taken := m.now.find(string(o.To)); taken {
		return "exists"
	}
	m.commit(m.now.without(string(o.In)).with(string(o.To), keys), o.Sync)
	return "ok"
}

func (o *moveScope) apply(p *player) (string, error) {
	sc, err := p.scope(o.In)
	if err != nil {
		return "", err
	}
	to, err := scope.Parse(string(o.To))
	if err != nil {
		return "", err
	}
	return outcome(sc.Move(to, writeOptions(o.Sync)))
}

// copyScope forks a scope, as it is or as a snapshot shows it, and deletes a key of the
// copy.
type copyScope struct {
	In, To, Then text
	Snap         int  `json:",omitempty"`
	Sync         bool `json:",omitempty"`
}

func (o *copyScope) model(m *Model) string {
	s := m.state(o.Snap)
	if s == nil {
		return "no snapshot"
	}
	if _, taken := m.now.find(string(o.To)); taken {
		return "exists"
	}
	keys, ok := s.find(string(o.In))
	if !ok {
		return "not found"
	}
	keys = keys.alive(m.hour).renewed(m.write())
	m.commit(m.now.with(string(o.To), keys), o.Sync)
	m.commit(m.now.with(string(o.To), keys.remove(string(o.Then), next(string(o.Then)))), o.Sync)
	return "ok"
}

func (o *copyScope) apply(p *player) (string, error) {
	r, err := p.reader(o.In, o.Snap)
	if r == nil || err != nil {
		return "no snapshot", err
	}
	to, err := scope.Parse(string(o.To))
	if err != nil {
		return "", err
	}
	made, err := r.(*lsm.Scope).Fork(background, to, writeOptions(o.Sync))
	if err != nil {
		return outcome(err)
	}
	return outcome(made.Delete([]byte(o.Then), writeOptions(o.Sync)))
}

// list lists scopes.
type list struct {
	Kind   scope.Kind
	Prefix text
	Snap   int `json:",omitempty"`
}

func (o *list) model(m *Model) string {
	s := m.state(o.Snap)
	if s == nil {
		return "no snapshot"
	}
	var names []scope.Scope
	for _, sp := range s.spaces[1:] {
		name, err := scope.Parse(sp.name)
		id := scope.AppendKey(nil, name)[1:]
		if err == nil && (o.Kind == scope.AnyKind || o.Kind == name.Kind()) && strings.HasPrefix(string(id), string(o.Prefix)) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, scope.Compare)
	return fmt.Sprint(names)
}

func (o *list) apply(p *player) (string, error) {
	var from scopeView = p.db
	if o.Snap > 0 {
		if p.snaps[o.Snap-1] == nil {
			return "no snapshot", nil
		}
		from = p.snaps[o.Snap-1].Snapshot
	}
	var names []scope.Scope
	for name, err := range from.ListScopes(o.Kind, string(o.Prefix)) {
		if err != nil {
			return "", err
		}
		names = append(names, name)
	}
	return fmt.Sprint(names), nil
}

// stats asks whether a scope is there and how much it holds.
type stats struct{ In text }

func (o *stats) model(m *Model) string {
	_, ok := m.now.find(string(o.In))
	return fmt.Sprint(ok)
}

func (o *stats) apply(p *player) (string, error) {
	sc, err := p.scope(o.In)
	if err != nil {
		return "", err
	}
	there, err := sc.Exists()
	if err != nil {
		return "", err
	}
	st, err := sc.Stats()
	if err != nil {
		return "", err
	}
	entries, bytes := int64(0), int64(0)
	for e, err := range sc.Scan(nil, nil) {
		if err != nil {
			return "", err
		}
		entries++
		bytes += int64(len(e.Key) + len(e.Value))
	}
	if st.Exact && (st.Entries != entries || st.Bytes != bytes) || !st.Exact && st.Entries < entries {
		return fmt.Sprintf("%v, with %+v of %d entries and %d bytes", there, st, entries, bytes), nil
	}
	return fmt.Sprint(there), nil
}
