package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	typed "github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// The state layer is linearizable as the engine is: its values are the tokens here. Values of class
// Ephemeral, which are beside the engine, change places with stored ones in histories of their own,
// in which each operation is about one key.

var background = context.Background()

// typedClient does one operation of the state layer after the other.
type typedClient struct {
	h     *History
	id    int
	rnd   *rand.Rand
	store *typed.Store
	sc    *typed.Scope
	sides bool // classes change, single keys
}

func (c *typedClient) perform(in *input, do func(out *output) error) error {
	var out output
	call := c.h.clock.Add(1)
	err := do(&out)
	if errors.Is(err, typed.ErrConflict) {
		out.refused, err = true, nil
	}
	c.h.note(c.id, call, *in, out, err)
	return err
}

func (c *typedClient) token() string { return fmt.Sprintf("%d.", c.h.tokens.Add(1)) }

func (c *typedClient) class() typed.Option {
	if c.sides {
		return typed.WithClass([]typed.Class{typed.Ephemeral, typed.Trusted, typed.Standard}[c.rnd.IntN(3)])
	}
	return typed.WithClass([]typed.Class{typed.External, typed.Trusted, typed.Standard}[c.rnd.IntN(3)])
}

func text(v any, err error) (string, error) {
	if errors.Is(err, typed.ErrNotFound) {
		return "", nil
	}
	s, _ := v.(string)
	return s, err
}

func (c *typedClient) get(key int) error {
	return c.perform(&input{verb: read, reads: 1 << key}, func(out *output) (err error) {
		out.seen[key], err = text(c.sc.Get(background, string(name(key))))
		return err
	})
}

func (c *typedClient) act() error {
	runtime.Gosched()
	key := c.rnd.IntN(keys)
	n := c.rnd.IntN(100)
	if c.sides {
		n /= 2
	}
	switch {
	case n < 20:
		return c.get(key)
	case n < 40:
		return c.set(key)
	case n < 50:
		return c.remove(key)
	case n < 58:
		return c.extend(key)
	case n < 66:
		return c.compareAndSet(key)
	case n < 72:
		return c.create(key)
	case n < 80:
		return c.setMany()
	case n < 84:
		return c.empty()
	case n < 92:
		return c.readAll()
	}
	return c.transact()
}

func (c *typedClient) set(key int) error {
	in := input{verb: write}
	in.writes[key] = change{remove: true, token: c.token()}
	class := c.class()
	return c.perform(&in, func(*output) error { return c.sc.Set(background, string(name(key)), in.writes[key].token, class) })
}

func (c *typedClient) remove(key int) error {
	in := input{verb: write}
	in.writes[key] = change{remove: true}
	return c.perform(&in, func(*output) error { _, err := c.sc.Delete(background, string(name(key))); return err })
}

// extend makes a value longer, which depends on what it was.
func (c *typedClient) extend(key int) error {
	in := input{verb: write}
	in.writes[key] = change{token: c.token()}
	return c.perform(&in, func(*output) error {
		_, err := typed.Update(background, c.sc, string(name(key)), func(old string, _ bool) (string, error) {
			return old + in.writes[key].token, nil
		})
		return err
	})
}

func (c *typedClient) compareAndSet(key int) error {
	in := input{verb: cas}
	in.writes[key] = change{remove: true, token: c.token()}
	var version typed.Version
	err := c.perform(&input{verb: read, reads: 1 << key}, func(out *output) error {
		v, meta, err := c.sc.GetWithMeta(background, string(name(key)))
		version = meta.Version
		in.expected, err = text(v, err)
		out.seen[key] = in.expected
		return err
	})
	if err != nil {
		return err
	}
	return c.perform(&in, func(*output) error {
		_, err := c.sc.CompareAndSet(background, string(name(key)), version, in.writes[key].token)
		return err
	})
}

func (c *typedClient) create(key int) error {
	in := input{verb: cas}
	in.writes[key] = change{remove: true, token: c.token()}
	return c.perform(&in, func(out *output) error {
		did, err := c.sc.SetIfAbsent(background, string(name(key)), in.writes[key].token)
		out.refused = err == nil && !did
		return err
	})
}

// drawn returns what is written to several keys.
func (c *typedClient) drawn() (writes [keys]change, values map[string]any) {
	values = map[string]any{}
	for key := range keys {
		if c.rnd.IntN(2) == 0 {
			writes[key] = change{remove: true, token: c.token()}
			values[string(name(key))] = writes[key].token
		}
	}
	return writes, values
}

func (c *typedClient) setMany() error {
	in := input{verb: write}
	var values map[string]any
	in.writes, values = c.drawn()
	return c.perform(&in, func(*output) error { return c.sc.SetMany(background, values) })
}

func (c *typedClient) empty() error {
	in := input{verb: write}
	var all []string
	for key := range keys {
		in.writes[key] = change{remove: true}
		all = append(all, string(name(key)))
	}
	drop := c.rnd.IntN(2) == 0
	return c.perform(&in, func(*output) error {
		if drop {
			return c.sc.Drop(background)
		}
		_, err := c.sc.DeleteMany(background, all)
		return err
	})
}

func (c *typedClient) readAll() error {
	how := c.rnd.IntN(3)
	return c.perform(&input{verb: read, reads: 1<<keys - 1}, func(out *output) error {
		if how == 0 {
			var all []string
			for key := range keys {
				all = append(all, string(name(key)))
			}
			values, err := c.sc.GetMany(background, all...)
			for key := range keys {
				out.seen[key], _ = values[string(name(key))].(string)
			}
			return err
		}
		sc := c.sc
		if how == 1 {
			snap, err := c.store.Snapshot()
			if err != nil {
				return err
			}
			defer snap.Close() // never fails
			sc = snap.Scope(c.sc.Name())
		}
		for e, err := range sc.All(background, "key-") {
			if err != nil {
				return err
			}
			out.seen[e.Key[len(e.Key)-1]-'0'], _ = e.Value.(string)
		}
		return nil
	})
}

// transact reads some keys and writes some. It is one operation, whichever attempt gets through.
func (c *typedClient) transact() error {
	in := input{verb: txn, reads: keySet(c.rnd.IntN(1 << keys))}
	var values map[string]any
	in.writes, values = c.drawn()
	return c.perform(&in, func(out *output) error {
		return c.store.Transact(background, func(tx *typed.Txn) error {
			sc := tx.Scope(c.sc.Name())
			for key := range keys {
				if !in.reads.has(key) {
					continue
				}
				var err error
				if out.seen[key], err = text(sc.Get(background, string(name(key)))); err != nil {
					return err
				}
			}
			return sc.SetMany(background, values)
		})
	})
}

// openTyped opens a store of the state layer, on disk or in memory.
func openTyped(h *History, memory bool) (*typed.Store, error) {
	if memory {
		return typed.OpenMemory(&typed.Options{Engine: h.options(nil)})
	}
	faults := vfs.NewFaults(vfs.NewCrashMem(), vfs.Rule{When: yields(h.random(200))})
	return typed.Open("db", &typed.Options{Engine: h.options(faults)})
}

// playTyped plays a history on a store of the state layer.
func playTyped(seed uint64, sides, memory bool) (*History, error) {
	h := &History{Seed: seed, Single: sides}
	store, err := openTyped(h, memory)
	if err != nil {
		return nil, err
	}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := &typedClient{h: h, id: i, rnd: h.random(1000 + i), store: store, sc: store.Scope(scope.Custom("history")), sides: sides}
		wg.Go(func() {
			for errs[i] == nil && h.calls.Add(1) <= operations {
				errs[i] = c.act()
			}
		})
	}
	wg.Wait()
	h.processes = append(h.processes, h.ops)
	return h, errors.Join(append(errs, store.Close())...)
}

func TestHistoriesOfTheStateLayerAreLinearizable(t *testing.T) {
	for _, sides := range []bool{false, true} {
		for _, memory := range []bool{false, true} {
			t.Run(fmt.Sprint("sides ", sides, ", memory ", memory), func(t *testing.T) {
				for n := range uint64(lane() / 4) {
					h, err := playTyped(*seed*1_000_000+n, sides, memory)
					require.NoError(t, err)
					require.GreaterOrEqual(t, h.Operations(), operations)
					require.NoError(t, h.Check())
				}
			})
		}
	}
}
