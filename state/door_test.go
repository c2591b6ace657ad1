package state_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// door is an operation on a handle, and what it asks for.
type door struct {
	name string
	op   access.Op
	key  string // or what the keys begin with
	open func(sc *state.Scope, c docs) error
}

// alsoAsks are operations on the whole scope that a door asks for besides its own.
var alsoAsks = map[string][]access.Op{"SetRetention": {access.OpDrop}, "Import of a rule": {access.OpSettings, access.OpDrop}}

func (d *door) needs() access.Verbs {
	verbs := d.op.Needs()
	for _, op := range alsoAsks[d.name] {
		verbs |= op.Needs()
	}
	return verbs
}

// docs is a collection in the scope of the handle.
type docs = *state.Collection[person]

// other is the scope that is copied and moved to. The verbs that are needed there everybody has.
var other = scope.Custom("other")

// allDocs are all documents, found by their index.
var allDocs = index.Query{Where: ofTeam("red")}

var doors = []door{
	{"Get", access.OpGet, "k", func(sc *state.Scope, _ docs) error { _, err := sc.Get(ctx, "k"); return err }},
	{"GetWithMeta", access.OpGet, "k", func(sc *state.Scope, _ docs) error { _, _, err := sc.GetWithMeta(ctx, "k"); return err }},
	{"GetMany", access.OpGet, "k", func(sc *state.Scope, _ docs) error { _, err := sc.GetMany(ctx, "k"); return err }},
	{"typed Get", access.OpGet, "k", func(sc *state.Scope, _ docs) error { _, err := state.Get[any](ctx, sc, "k"); return err }},
	{"Has", access.OpHas, "k", func(sc *state.Scope, _ docs) error { _, err := sc.Has(ctx, "k"); return err }},
	{"Set", access.OpSet, "k", func(sc *state.Scope, _ docs) error { return sc.Set(ctx, "k", 1) }},
	{"SetWithTTL", access.OpSet, "k", func(sc *state.Scope, _ docs) error { return sc.SetWithTTL(ctx, "k", 1, 1e12) }},
	{"SetMany", access.OpSet, "k", func(sc *state.Scope, _ docs) error { return sc.SetMany(ctx, map[string]any{"k": 1}) }},
	{"CompareAndSet", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error { _, err := sc.CompareAndSet(ctx, "k", 1, 1); return err }},
	{"SetIfAbsent", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error { _, err := sc.SetIfAbsent(ctx, "k", 1); return err }},
	{"Increment", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error { _, err := sc.Increment(ctx, "k", 1); return err }},
	{"typed Increment", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error { _, err := state.Increment(ctx, sc, "k", 1); return err }},
	{"Patch", access.OpUpdate, "m", func(sc *state.Scope, _ docs) error { _, err := sc.Patch(ctx, "m", map[string]any{}); return err }},
	{"Append", access.OpUpdate, "l", func(sc *state.Scope, _ docs) error { _, err := sc.Append(ctx, "l", 1); return err }},
	{"IncrementBlind", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error { return sc.IncrementBlind(ctx, "k", 1) }},
	{"PatchBlind", access.OpUpdate, "m", func(sc *state.Scope, _ docs) error { return sc.PatchBlind(ctx, "m", map[string]any{}) }},
	{"AppendBlind", access.OpUpdate, "l", func(sc *state.Scope, _ docs) error { return sc.AppendBlind(ctx, "l", 1) }},
	{"AcquireLease", access.OpUpdate, "k", func(sc *state.Scope, _ docs) error {
		l, err := sc.AcquireLease(ctx, "k", "me", 1e12)
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	}},
	{"LeaseInfo", access.OpGet, "k", func(sc *state.Scope, _ docs) error { _, err := sc.LeaseInfo(ctx, "k"); return err }},
	{"History", access.OpGet, "k", func(sc *state.Scope, _ docs) error { return last(sc.History(ctx, "k")) }},
	{"Delete", access.OpDelete, "k", func(sc *state.Scope, _ docs) error { _, err := sc.Delete(ctx, "k"); return err }},
	{"DeleteMany", access.OpDelete, "k", func(sc *state.Scope, _ docs) error { _, err := sc.DeleteMany(ctx, []string{"k"}); return err }},
	{"List", access.OpScan, "", func(sc *state.Scope, _ docs) error { _, err := sc.List(ctx, state.ListOptions{}); return err }},
	{"List of keys", access.OpList, "", func(sc *state.Scope, _ docs) error {
		_, err := sc.List(ctx, state.ListOptions{KeysOnly: true})
		return err
	}},
	{"All", access.OpScan, "", func(sc *state.Scope, _ docs) error { return last(sc.All(ctx, "")) }},
	{"Keys", access.OpList, "", func(sc *state.Scope, _ docs) error { return last(sc.Keys(ctx, "")) }},
	{"Diff", access.OpScan, "", func(sc *state.Scope, _ docs) error { return last(sc.Diff(ctx, state.Position{})) }},
	{"ScanPrivacy", access.OpScan, "", func(sc *state.Scope, _ docs) error { return last(sc.ScanPrivacy(ctx, nil)) }},
	{"Watch", access.OpWatch, "", func(sc *state.Scope, _ docs) error {
		w, err := sc.Watch(ctx, "", nil)
		if err == nil {
			err = w.Close()
		}
		return err
	}},
	{"Stats", access.OpStats, "", func(sc *state.Scope, _ docs) error { _, err := sc.Stats(ctx); return err }},
	{"Retention", access.OpSettings, "", func(sc *state.Scope, _ docs) error { _, err := sc.Retention(ctx); return err }},
	{"SetRetention", access.OpSettings, "", func(sc *state.Scope, _ docs) error {
		return sc.SetRetention(ctx, state.Retention{MaxAge: 1e15})
	}},
	{"SetRetention to none", access.OpSettings, "", func(sc *state.Scope, _ docs) error { return sc.SetRetention(ctx, state.Retention{}) }},
	{"Copy", access.OpCopy, "", func(sc *state.Scope, _ docs) error { _, err := sc.Copy(ctx, other); return err }},
	{"Move", access.OpMove, "", func(sc *state.Scope, _ docs) error { return sc.Move(ctx, other) }},
	{"Drop", access.OpDrop, "", func(sc *state.Scope, _ docs) error { return sc.Drop(ctx) }},
	{"Export", access.OpExport, "", func(sc *state.Scope, _ docs) error {
		_, err := sc.Export(ctx, io.Discard, state.ExportOptions{})
		return err
	}},
	{"Import", access.OpImport, "", func(sc *state.Scope, _ docs) error { return importEntries(sc, nil) }},
	{"Import of a rule", access.OpImport, "", func(sc *state.Scope, _ docs) error {
		_, err := importRule(sc, "", state.ExistingSkip) // what is no file
		return err
	}},
	{"document Set", access.OpSet, "people/k", func(_ *state.Scope, c docs) error { return c.Set(ctx, "k", person{Team: "red"}) }},
	{"document Get", access.OpGet, "people/k", func(_ *state.Scope, c docs) error { _, err := c.Get(ctx, "k"); return err }},
	{"document Update", access.OpUpdate, "people/k", func(_ *state.Scope, c docs) error {
		_, err := c.Update(ctx, "k", func(p person, _ bool) (person, error) { p.Age = (p.Age + 1) % 10; return p, nil })
		return err
	}},
	{"document Delete", access.OpDelete, "people/k", func(_ *state.Scope, c docs) error { _, err := c.Delete(ctx, "k"); return err }},
	{"Query", access.OpScan, "people/", func(_ *state.Scope, c docs) error { _, err := c.Query(ctx, index.Query{}); return err }},
	{"Query by index", access.OpScan, "people/", func(_ *state.Scope, c docs) error {
		_, err := c.Query(ctx, index.Query{Where: ofTeam("red")})
		return err
	}},
	{"All documents", access.OpScan, "people/", func(_ *state.Scope, c docs) error { return last(c.All(ctx, index.Query{})) }},
	{"Explain", access.OpScan, "people/", func(_ *state.Scope, c docs) error { _, err := c.Explain(ctx, index.Query{}); return err }},
	{"Rebuild", access.OpSettings, "", func(_ *state.Scope, c docs) error { return c.Rebuild(ctx) }},
}

// last returns the last error of a sequence.
func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, e := range seq {
		err = e
	}
	return err
}

// B63: each operation needs the verbs that it says, all of them, and no other.
func TestDoorsAskForWhatTheySay(t *testing.T) {
	o := controlled()
	o.NoSync = true
	everywhere(t, o, func(t *testing.T, f *fixture) {
		change(t, f.Store, func(r *access.Rules) error {
			for verbs := access.Verbs(1); verbs <= access.AllVerbs; verbs++ {
				who := access.Subject{Principal: access.Principal(fmt.Sprint(verbs))}
				_, err := r.Grant(access.Rule{Subject: who, Verbs: verbs, Scopes: "agent:*", Keys: "*"})
				if err == nil {
					_, err = r.Grant(access.Rule{Subject: who, Verbs: access.AllVerbs, Scopes: "custom:*", Keys: "*"})
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		c := people(t, f.As("root").Scope(agent), byTeam)
		for verbs := access.Verbs(1); verbs <= access.AllVerbs; verbs++ {
			sc := f.As(access.Principal(fmt.Sprint(verbs))).Scope(agent)
			for _, d := range doors {
				err := d.open(sc, c.In(sc))
				var denied *access.AccessError
				refused := errors.As(err, &denied)
				require.Equal(t, d.needs()&^verbs != 0, refused, "%s with %v: %v", d.name, verbs, err)
				require.True(t, !refused || denied.Op == d.op || slices.Contains(alsoAsks[d.name], denied.Op), "%s asks for %v", d.name, err)
			}
		}
	})
}
