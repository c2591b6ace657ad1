package metamorphic

// Model is what a store must do: every operation has its effect at once and none ever
// fails. It is played once for all option sets.
type Model struct {
	now State
	// states are those that the history has gone through, oldest first, now the last.
	states []State
	// durable is the index in states of the last one that is promised to be on the device.
	durable int
	writes  int             // ids of writes given out
	hour    int             // of the clock; now holds nothing that has expired by it
	mortals map[mortal]bool // all that was ever written to expire

	snaps    [slots]*State // nil: none is held
	iters    [slots]*cursor
	versions [slots]version
	holds    [slots]holding
	watches  [slots]*watch // nil: none
	died     []mortal      // what has expired during the present operation
	window   int           // operations left, this one included, during which calls of the file system go wrong
}

// version is a key with what it was at some moment.
type version struct {
	set     bool
	in, key string
	id      int // 0: absent
}

func newModel() *Model {
	m := &Model{now: emptyState(), hour: 1, mortals: map[mortal]bool{}}
	m.states = []State{m.now}
	return m
}

// commit makes s the present state. An operation that commits several times calls it each
// time: a store may be found between two commits, and within none.
func (m *Model) commit(s State, synced bool) {
	m.now = s
	m.states = append(m.states, s)
	if synced {
		m.durable = len(m.states) - 1
	}
}

// promise says that all that was committed is on the device.
func (m *Model) promise() { m.durable = len(m.states) - 1 }

// wait moves the clock.
func (m *Model) wait(hours int) {
	m.hour += hours
	m.died = append(m.died, m.now.dying(m.hour)...)
	m.now = m.now.alive(m.hour)
}

// write returns the id of a new write.
func (m *Model) write() int {
	m.writes++
	return m.writes
}

// view returns the entries of a scope, now or in a snapshot; false if that is not held. A
// scope that is not there has none.
func (m *Model) view(in text, snap int) (*tree, bool) {
	s := m.state(snap)
	if s == nil {
		return nil, false
	}
	t, _ := s.find(string(in))
	return t, true
}

// state returns the present state or that of a snapshot, nil if that is not held.
func (m *Model) state(snap int) *State {
	if snap == 0 {
		return &m.now
	}
	return m.snaps[snap-1]
}

// release closes a snapshot, with the iterators over it.
func (m *Model) release(slot int) {
	m.snaps[slot-1] = nil
	for i, c := range m.iters {
		if c != nil && c.snap == slot {
			m.iters[i] = nil
		}
	}
}

// end closes all snapshots and iterators, as the end of a process does.
func (m *Model) end() {
	m.snaps = [slots]*State{}
	m.iters = [slots]*cursor{}
}

// forget drops the versions that were remembered: the history goes on without the writes
// that gave them, or where their numbers may be given again.
func (m *Model) forget() { m.versions = [slots]version{} }

// notNow is the line of operations that cannot be done while calls go wrong: what they
// would keep, or would end, may not survive the failure.
const notNow = "not now"

// reference is what the model made of a history.
type reference struct {
	ops   []Op
	lines []string
	// states are all states; after and durable are indexes of it for each operation.
	states         []State
	after, durable []int
	// hours are those of the clock before each operation, died what expires during it;
	// mortals are all entries that were written to expire.
	hours   []int
	died    [][]mortal
	mortals map[mortal]bool
}

// consult plays a history on the model.
func consult(ops []Op) *reference {
	m := newModel()
	r := &reference{ops: ops}
	for _, op := range ops {
		r.hours = append(r.hours, m.hour)
		m.died = nil
		r.lines = append(r.lines, op.model(m))
		m.window = max(m.window-1, 0)
		r.after = append(r.after, len(m.states)-1)
		r.durable = append(r.durable, m.durable)
		r.died = append(r.died, m.died)
	}
	r.states, r.mortals = m.states, m.mortals
	return r
}

// before returns the index of the state before an operation.
func (r *reference) before(i int) int {
	if i == 0 {
		return 0
	}
	return r.after[i-1]
}
