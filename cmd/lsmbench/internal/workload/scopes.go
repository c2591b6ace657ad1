package workload

import (
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// scopeRows are about stores that are divided into many small spaces of keys.
var scopeRows = []Workload{
	{Name: "scopecreate", Doc: "scopes of 10 keys in random order, each made by the batch that writes its keys; counts scopes", run: scopeCreate},
	{Name: "scopedrop", Doc: "drop of scopes of 100 keys in random order, until none is left; counts scopes", Kills: true, run: scopeDrop},
	{Name: "scopescan", Doc: "all 100 entries of a random scope; counts scopes", Reads: true, run: scopeScan},
}

const (
	smallScope = 10  // keys of each scope of scopecreate
	scopeLen   = 100 // keys of each scope of the others
)

// scopes is how many of n keys the records make.
func (r *run) scopes(n uint64) uint64 { return max(r.Records/n, uint64(r.Goroutines)) }

// scoper writes and reads scopes for one worker.
type scoper struct {
	*run
	*worker
	engine.Scoper
	name  []byte
	pairs []engine.Pair
	visit func(key, value []byte)
}

func (r *run) newScoper(w *worker) *scoper {
	s := &scoper{run: r, worker: w}
	var how string
	s.Scoper, how = engine.Scopes(w.Session)
	r.use(how)
	s.visit = func(key, value []byte) { w.read += int64(len(key) + len(value)) }
	return s
}

// named makes the name of the i-th of some kind of scopes.
func (s *scoper) named(kind string, i uint64) []byte {
	s.name = fmt.Appendf(s.name[:0], "%s-%08d", kind, i)
	return s.name
}

// fill writes n keys to the i-th scope.
func (s *scoper) fill(kind string, i uint64, n int) error {
	for len(s.pairs) < n {
		s.pairs = append(s.pairs, engine.Pair{Key: fmt.Appendf(nil, "key-%06d", len(s.pairs))})
	}
	name := s.named(kind, i)
	for j := range s.pairs[:n] {
		p := &s.pairs[j]
		p.Value = s.values.Take()
		s.written += int64(len(name) + len(p.Key) + len(p.Value))
	}
	return s.SetIn(name, s.pairs[:n], false)
}

// want scans a scope, which must hold n entries.
func (s *scoper) want(name []byte, n int) error {
	count, err := s.ScanIn(name, s.visit)
	if err == nil && count != n {
		err = fmt.Errorf("%w: a scan of scope %q gave %d entries, not %d", ErrWrongAnswer, name, count, n)
	}
	return err
}

// makeScopes fills scopes before the measuring begins, and returns a scoper beside the
// workload's.
func (r *run) makeScopes(kind string, scopes uint64) (*scoper, error) {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return nil, err
	}
	s := r.newScoper(w)
	for i := range scopes {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		if err := s.fill(kind, i, scopeLen); err != nil {
			return nil, err
		}
	}
	_, err = r.store.Settle(r.ctx)
	return s, err
}

func scopeCreate(r *run) error {
	r.kinds = []string{"batch"}
	scopes := r.scopes(smallScope)
	perm := dist.NewPermutation(scopes, r.Seed)
	made := make([]bool, scopes) // each by one worker
	err := r.each(pacing{total: scopes, limit: r.WriteLimit, sample: 1}, func(w *worker) (operation, error) {
		s := r.newScoper(w)
		return func(i uint64) (kind, error) {
			i = perm.At(i)
			made[i] = true
			return 0, s.fill("scope", i, smallScope)
		}, nil
	})
	r.check = func() error { return r.checkScopes("scope", made, smallScope) }
	return r.filled(err)
}

// checkScopes looks at some scopes: those that are there hold n entries.
func (r *run) checkScopes(kind string, there []bool, n int) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	s := r.newScoper(w)
	for range checks {
		i := w.rng.Uint64N(uint64(len(there)))
		want := 0
		if there[i] {
			want = n
		}
		if err := s.want(s.named(kind, i), want); err != nil {
			return err
		}
	}
	return nil
}

func scopeDrop(r *run) error {
	r.kinds = []string{"drop"}
	scopes := r.scopes(scopeLen)
	filled, err := r.makeScopes("scope", scopes)
	if err != nil {
		return err
	}
	there := make([]bool, scopes) // each for one worker
	for i := range there {
		there[i] = true
	}
	perm := dist.NewPermutation(scopes, r.Seed)
	err = r.each(pacing{total: scopes, limit: r.WriteLimit, sample: 1}, func(w *worker) (operation, error) {
		s := r.newScoper(w)
		return func(i uint64) (kind, error) {
			i = perm.At(i)
			there[i] = false
			name := s.named("scope", i)
			w.written += int64(len(name))
			return 0, s.DropScope(name)
		}, nil
	})
	r.live = int64(float64(filled.written) * float64(scopes-r.result.Ops) / float64(scopes))
	r.check = func() error { return r.checkScopes("scope", there, scopeLen) }
	return err
}

func scopeScan(r *run) error {
	r.kinds = []string{"scan"}
	scopes := r.scopes(scopeLen)
	filled, err := r.makeScopes("scope", scopes)
	if err != nil {
		return err
	}
	r.live = filled.written
	choose, err := r.data.chooser("uniform", scopes)
	if err != nil {
		return err
	}
	return r.each(pacing{total: endless, limit: r.Limit, sample: 1}, func(w *worker) (operation, error) {
		s, chooser := r.newScoper(w), choose(w.id)
		return func(uint64) (kind, error) {
			return 0, s.want(s.named("scope", chooser.Next(w.rng, scopes)), scopeLen)
		}, nil
	})
}
