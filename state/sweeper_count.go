package state

import "github.com/loamdb/loam/scope"

// What is counted of commits to scopes with rules, behind them (R1).

// tally is what is counted of a write, or of several.
type tally struct {
	name    scope.Scope
	bytes   int64
	entries int64  // 0 of one that deletes, or of what the store keeps for itself
	key     []byte // nil of the latter
}

func tallyOf(w *write) tally {
	t := tally{name: w.space.name}
	if !ofUser(w.key) || w.requires {
		return t
	}
	t.key = w.key
	if w.value != nil {
		t.bytes, t.entries = int64(len(w.key)+len(w.value)), 1
	}
	return t
}

// note counts what was committed (R1).
func (k *sweeper) note(ws []write) {
	if !k.active() {
		return
	}
	for i := range ws {
		if !ws[i].requires {
			k.count(tallyOf(&ws[i]))
		}
	}
}

func (k *sweeper) count(t tally) {
	in := (*k.scopes.Load())[t.name]
	if in == nil {
		return
	}
	in.last.Store(k.store.engine.now())
	if t.key != nil {
		in.recent.note(t.key)
	}
	if t.entries == 0 {
		return
	}
	written, sum := in.written.Add(1), in.bytes.Add(t.bytes)
	room, roomFor := in.room.Load(), in.roomFor.Load()
	if written == room+1 || sum > roomFor && sum-t.bytes <= roomFor {
		k.nudge()
	}
}

// notCounted says that something was committed to a scope that was written before there was a rule.
func (k *sweeper) notCounted(name scope.Scope) {
	if !k.active() {
		return
	}
	if in := (*k.scopes.Load())[name]; in != nil {
		in.last.Store(k.store.engine.now())
		in.uncounted.Store(true)
		k.nudge()
	}
}
