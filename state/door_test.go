package state_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// door is an operation on a handle, and what it asks for.
type door struct {
	name string
	op   access.Op
	open func(sc *state.Scope) error
}

// other is the scope that is copied and moved to. The verbs that are needed there everybody has.
var other = scope.Custom("other")

var doors = []door{
	{"Get", access.OpGet, func(sc *state.Scope) error { _, err := sc.Get(ctx, "k"); return err }},
	{"GetWithMeta", access.OpGet, func(sc *state.Scope) error { _, _, err := sc.GetWithMeta(ctx, "k"); return err }},
	{"GetMany", access.OpGet, func(sc *state.Scope) error { _, err := sc.GetMany(ctx, "k"); return err }},
	{"typed Get", access.OpGet, func(sc *state.Scope) error { _, err := state.Get[any](ctx, sc, "k"); return err }},
	{"Has", access.OpHas, func(sc *state.Scope) error { _, err := sc.Has(ctx, "k"); return err }},
	{"Set", access.OpSet, func(sc *state.Scope) error { return sc.Set(ctx, "k", 1) }},
	{"SetWithTTL", access.OpSet, func(sc *state.Scope) error { return sc.SetWithTTL(ctx, "k", 1, 1e12) }},
	{"SetMany", access.OpSet, func(sc *state.Scope) error { return sc.SetMany(ctx, map[string]any{"k": 1}) }},
	{"CompareAndSet", access.OpUpdate, func(sc *state.Scope) error { _, err := sc.CompareAndSet(ctx, "k", 1, 1); return err }},
	{"SetIfAbsent", access.OpUpdate, func(sc *state.Scope) error { _, err := sc.SetIfAbsent(ctx, "k", 1); return err }},
	{"Increment", access.OpUpdate, func(sc *state.Scope) error { _, err := sc.Increment(ctx, "k", 1); return err }},
	{"typed Increment", access.OpUpdate, func(sc *state.Scope) error { _, err := state.Increment(ctx, sc, "k", 1); return err }},
	{"Patch", access.OpUpdate, func(sc *state.Scope) error { _, err := sc.Patch(ctx, "m", map[string]any{}); return err }},
	{"Append", access.OpUpdate, func(sc *state.Scope) error { _, err := sc.Append(ctx, "l", 1); return err }},
	{"IncrementBlind", access.OpUpdate, func(sc *state.Scope) error { return sc.IncrementBlind(ctx, "k", 1) }},
	{"PatchBlind", access.OpUpdate, func(sc *state.Scope) error { return sc.PatchBlind(ctx, "m", map[string]any{}) }},
	{"Delete", access.OpDelete, func(sc *state.Scope) error { _, err := sc.Delete(ctx, "k"); return err }},
	{"DeleteMany", access.OpDelete, func(sc *state.Scope) error { _, err := sc.DeleteMany(ctx, []string{"k"}); return err }},
	{"List", access.OpScan, func(sc *state.Scope) error { _, err := sc.List(ctx, state.ListOptions{}); return err }},
	{"List of keys", access.OpList, func(sc *state.Scope) error { _, err := sc.List(ctx, state.ListOptions{KeysOnly: true}); return err }},
	{"All", access.OpScan, func(sc *state.Scope) error { return last(sc.All(ctx, "")) }},
	{"Keys", access.OpList, func(sc *state.Scope) error { return last(sc.Keys(ctx, "")) }},
	{"Diff", access.OpScan, func(sc *state.Scope) error { return last(sc.Diff(ctx, state.Position{})) }},
	{"ScanPrivacy", access.OpScan, func(sc *state.Scope) error { return last(sc.ScanPrivacy(ctx, nil)) }},
	{"Watch", access.OpWatch, func(sc *state.Scope) error {
		w, err := sc.Watch(ctx, "", nil)
		if err == nil {
			err = w.Close()
		}
		return err
	}},
	{"Stats", access.OpStats, func(sc *state.Scope) error { _, err := sc.Stats(ctx); return err }},
	{"Copy", access.OpCopy, func(sc *state.Scope) error { _, err := sc.Copy(ctx, other); return err }},
	{"Move", access.OpMove, func(sc *state.Scope) error { return sc.Move(ctx, other) }},
	{"Export", access.OpExport, func(sc *state.Scope) error { _, err := sc.Export(ctx, io.Discard, state.ExportOptions{}); return err }},
	{"Import", access.OpImport, func(sc *state.Scope) error { return importEntries(sc, nil) }},
	{"Drop", access.OpDrop, func(sc *state.Scope) error { return sc.Drop(ctx) }},
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
		for verbs := access.Verbs(1); verbs <= access.AllVerbs; verbs++ {
			sc := f.As(access.Principal(fmt.Sprint(verbs))).Scope(agent)
			for _, d := range doors {
				err := d.open(sc)
				var denied *access.AccessError
				refused := errors.As(err, &denied)
				require.Equal(t, d.op.Needs()&^verbs != 0, refused, "%s with %v: %v", d.name, verbs, err)
				require.True(t, !refused || denied.Op == d.op, "%s asks for %v", d.name, err)
			}
		}
	})
}
