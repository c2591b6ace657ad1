package workload

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// agents are what programs that run agents do to a store: each session, and each agent,
// has a scope.
var agents = []Workload{
	{Name: "agentturn", Doc: "a turn of about 1 KiB appended to one of 10,000 sessions, unsynced", run: agentTurn},
	{Name: "agentstep", Doc: "a step of one of 100 agents: its state of 4 KiB, a turn and a counter, in one synced batch", Kills: true, run: agentStep},
	{Name: "agentfork", Doc: "fork of one of 100 sessions of 100 keys, unsynced", run: agentFork},
}

const (
	mostSessions = 10_000
	mostAgents   = 100
	forkedFrom   = 100 // sessions
	stateBytes   = 4 << 10
)

// turnSize is the length of what is said in a turn, 1 KiB on average.
const turnSize = "uniform:512-1536"

func (r *run) newTurns() (*dist.Values, error) {
	size, err := dist.ParseSize(turnSize)
	if err != nil {
		return nil, err
	}
	return dist.NewValues(size, r.Compressible, r.Seed)
}

func turnKey(dst []byte, turn uint32) []byte { return fmt.Appendf(dst, "turn/%08d", turn) }

func agentTurn(r *run) error {
	r.kinds = []string{"append"}
	turns, err := r.newTurns()
	if err != nil {
		return err
	}
	sessions := max(min(mostSessions, r.Records), uint64(r.Goroutines))
	choose, err := r.data.chooser("uniform", sessions)
	if err != nil {
		return err
	}
	lengths := make([]atomic.Uint32, sessions)
	pace := r.once()
	pace.limit = r.Limit
	err = r.each(pace, func(w *worker) (operation, error) {
		s, chooser, turns := r.newScoper(w), choose(w.id), turns.Fork(w.id)
		pair := make([]engine.Pair, 1)
		return func(uint64) (kind, error) {
			i := chooser.Next(w.rng, sessions)
			name := s.named("session", i)
			pair[0].Key = turnKey(pair[0].Key[:0], lengths[i].Add(1)-1)
			pair[0].Value = turns.Take()
			w.written += int64(len(name) + len(pair[0].Key) + len(pair[0].Value))
			return 0, s.SetIn(name, pair, false)
		}, nil
	})
	r.check = func() error {
		w, err := r.newWorker(besideWorker)
		if err != nil {
			return err
		}
		s := r.newScoper(w)
		for range checks {
			i := w.rng.Uint64N(sessions)
			if err := s.want(s.named("session", i), int(lengths[i].Load())); err != nil {
				return err
			}
		}
		return nil
	}
	return r.filled(err)
}

// agentStep: every goroutine has agents of its own, whose steps it takes in turn.
func agentStep(r *run) error {
	r.kinds = []string{"step"}
	turns, err := r.newTurns()
	if err != nil {
		return err
	}
	states, err := dist.NewValues(dist.Constant(stateBytes), r.Compressible, r.Seed)
	if err != nil {
		return err
	}
	n := max(min(mostAgents, r.Records), uint64(r.Goroutines))
	steps := make([]uint32, n) // each by one worker
	err = r.each(pacing{total: endless, limit: r.Limit, sample: 1}, func(w *worker) (operation, error) {
		a := &stepper{scoper: r.newScoper(w), steps: steps, turns: turns.Fork(w.id), states: states.Fork(w.id)}
		a.from, a.to = share(n, r.Goroutines, w.id)
		a.agent = a.from
		a.pairs = []engine.Pair{{Key: []byte("counter"), Value: make([]byte, 4)}, {Key: []byte("state")}, {}}
		return func(uint64) (kind, error) { return 0, a.step() }, nil
	})
	r.check = func() error { return r.checkSteps(steps) }
	return err
}

// stepper takes the steps of one worker's agents, [from, to).
type stepper struct {
	*scoper
	from, to, agent uint64
	steps           []uint32
	turns, states   *dist.Values
	pairs           []engine.Pair
}

func (a *stepper) step() error {
	i := a.agent
	if a.agent++; a.agent == a.to {
		a.agent = a.from
	}
	binary.BigEndian.PutUint32(a.pairs[0].Value, a.steps[i]+1)
	a.pairs[1].Value = a.states.Take()
	a.pairs[2].Key = turnKey(a.pairs[2].Key[:0], a.steps[i])
	a.pairs[2].Value = a.turns.Take()
	name := a.named("agent", i)
	for _, p := range a.pairs {
		a.written += int64(len(name) + len(p.Key) + len(p.Value))
	}
	a.steps[i]++
	return a.SetIn(name, a.pairs, true)
}

// checkSteps looks whether every agent is where it was: counter, state and turns.
func (r *run) checkSteps(steps []uint32) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	s := r.newScoper(w)
	r.live = 0
	for i, taken := range steps {
		var counter uint32
		entries := 0
		name := s.named("agent", uint64(i))
		_, err := s.ScanIn(name, func(key, value []byte) {
			entries++
			r.live += int64(len(name) + len(key) + len(value))
			if string(key) == "counter" && len(value) == 4 {
				counter = binary.BigEndian.Uint32(value)
			}
		})
		if err != nil {
			return err
		}
		if want := int(taken) + 2; counter != taken || taken > 0 && entries != want {
			return fmt.Errorf("%w: agent %d after %d steps has counter %d and %d entries", ErrWrongAnswer, i, taken, counter, entries)
		}
	}
	return nil
}

func agentFork(r *run) error {
	r.kinds = []string{"fork"}
	sources := max(min(forkedFrom, r.Records/scopeLen), 1)
	filled, err := r.makeScopes("session", sources)
	if err != nil {
		return err
	}
	forks := r.scopes(scopeLen)
	made := make([]bool, forks) // each by one worker
	err = r.each(pacing{total: forks, limit: r.WriteLimit, sample: 1}, func(w *worker) (operation, error) {
		s := r.newScoper(w)
		var from []byte
		return func(i uint64) (kind, error) {
			from = append(from[:0], s.named("session", w.rng.Uint64N(sources))...)
			made[i] = true
			w.written += filled.written / int64(sources)
			return 0, s.CopyScope(from, s.named("fork", i))
		}, nil
	})
	r.live = filled.written + r.result.UserWritten
	r.check = func() error { return r.checkScopes("fork", made, scopeLen) }
	return err
}
